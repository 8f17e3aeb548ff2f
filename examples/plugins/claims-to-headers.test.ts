import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [
    {
      name: "all",
      match: {},
      pipeline: [{ plugin: "claims-to-headers", headers: { "x-user-id": "sub", "x-groups": "groups" } }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

test("tells the upstream the claims that have a header", async () => {
  const claims = { sub: "u-7", groups: ["a", "Bücher, alt"], secret: "no" };
  await gw.fetch("/", { consumer: { name: "ada", claims } });
  const headers = gw.upstream("app").last?.headers;
  assert.equal(headers?.["x-user-id"], "u-7");
  assert.equal(headers?.["x-groups"], "a,B%C3%BCcher%2C%20alt");
  assert.equal(Object.values(headers ?? {}).includes("no"), false);
});

test("never passes on what the client says of itself", async () => {
  await gw.fetch("/", { headers: { "X-User-Id": "admin" } });
  assert.equal(gw.upstream("app").last?.headers["x-user-id"], undefined);
});

test("leaves out claims that are objects or missing", async () => {
  await gw.fetch("/", { consumer: { name: "ada", claims: { sub: { id: 1 }, groups: null } } });
  assert.equal(gw.upstream("app").last?.headers["x-user-id"], undefined);
  assert.equal(gw.upstream("app").last?.headers["x-groups"], undefined);
});
