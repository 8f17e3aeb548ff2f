import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [{ name: "users", match: {}, pipeline: [{ plugin: "envelope" }], upstream: "app" }],
});
after(() => gw.close());

test("puts what went well under data", async () => {
  gw.upstream("app").reply(() => {
    gw.clock.advance(12);
    return { body: [1, null] };
  });
  const res = await gw.fetch("/");
  const { data, meta } = await res.json();
  assert.deepEqual(data, [1, null]);
  assert.deepEqual(meta, { requestId: meta.requestId, route: "users", tookMs: 12 });
  assert.match(meta.requestId, /./);
});

test("puts failures under error", async () => {
  const headers = { "content-type": "application/problem+json" };
  gw.upstream("app").reply({ status: 404, headers, body: '{"title":"Not Found"}' });
  const res = await gw.fetch("/");
  assert.equal(res.status, 404);
  assert.equal(res.headers.get("content-type"), "application/json");
  assert.deepEqual((await res.json()).error, { title: "Not Found" });
});

test("leaves what is not JSON, or empty, as it is", async () => {
  gw.upstream("app").reply({ headers: { "content-type": "text/plain" }, body: "hello" });
  assert.equal(await (await gw.fetch("/")).text(), "hello");
  gw.upstream("app").reply({ status: 204, headers: { "content-type": "application/json" } });
  assert.equal(await (await gw.fetch("/")).text(), "");
});
