import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const URL = "https://flags.example.com/shop.json";
const grants = { fetch: ["flags.example.com"] };
const stage = { plugin: "feature-flag", url: URL, flag: "new-checkout", refreshMs: 10_000, grants };
const gw = await createTestGateway({
  routes: [
    { name: "shop", match: { path: "/" }, pipeline: [stage], upstream: "app" },
    { name: "beta", match: { path: "/beta" }, pipeline: [{ ...stage, fallback: true }], upstream: "app" },
  ],
});
after(() => gw.close());

let asked = 0;
const say = (reply: { status?: number; body?: unknown }): void =>
  gw.onFetch(URL, () => {
    asked++;
    return reply;
  });

const flagAt = async (path: string): Promise<string | undefined> => {
  await gw.fetch(path, { headers: { "x-feature-new-checkout": "mine" } });
  return gw.upstream("app").last?.headers["x-feature-new-checkout"];
};

test("goes by its fallback while nothing is known", async () => {
  say({ status: 503 });
  assert.deepEqual([await flagAt("/"), await flagAt("/beta")], ["off", "on"]);
  assert.equal(asked, 1, "who failed is not asked again at once");
  assert.deepEqual(
    gw.logs.map(({ message, fields }) => [message, fields["why"]]),
    [["flags cannot be had", "Error: status 503"]],
  );
});

test("asks once in a while, for all routes", async () => {
  gw.clock.advance(10_000);
  say({ body: { "new-checkout": true } });
  assert.deepEqual([await flagAt("/"), await flagAt("/beta"), await flagAt("/")], ["on", "on", "on"]);
  assert.equal(asked, 2);
});

test("goes by what it knows when the server fails", async () => {
  gw.clock.advance(10_000);
  say({ status: 500 });
  assert.equal(await flagAt("/"), "on");
  gw.clock.advance(10_000);
  say({ body: "not JSON" });
  assert.equal(await flagAt("/"), "on");
  assert.equal(asked, 4);
});

test("goes by its fallback when there are no flags", async () => {
  gw.clock.advance(10_000);
  say({ body: "null" });
  assert.deepEqual([await flagAt("/"), await flagAt("/beta")], ["off", "on"]);
});
