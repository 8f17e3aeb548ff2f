import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [
    {
      name: "all",
      match: { path: "/*" },
      pipeline: [{ plugin: "accept-version", vendor: "shop", versions: [1, 2], fallback: 1 }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

const type = (version: number): string => `application/vnd.shop.v${version}+json`;

test("sends a request to the version that it asks for", async () => {
  const res = await gw.fetch("/users?q=1", { headers: { accept: type(2) } });
  assert.equal(gw.upstream("app").last?.url, "/v2/users?q=1");
  assert.equal(res.headers.get("x-api-version"), "2");
  assert.equal(res.headers.get("vary"), "Accept");
});

test("takes the first that there is of several", async () => {
  await gw.fetch("/users", { headers: { accept: `${type(9)}, ${type(1)};q=0.5, ${type(2)}` } });
  assert.equal(gw.upstream("app").last?.url, "/v1/users");
});

test("has one for clients that ask for none", async () => {
  await gw.fetch("/users", { headers: { accept: "application/json" } });
  assert.equal(gw.upstream("app").last?.url, "/v1/users");
});

test("refuses a version that there is not, and says which there are", async () => {
  const res = await gw.fetch("/users", { headers: { accept: type(3) } });
  assert.equal(res.status, 406);
  assert.deepEqual((await res.json()).types, [type(1), type(2)]);
});
