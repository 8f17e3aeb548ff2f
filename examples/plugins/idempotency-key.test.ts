import assert from "node:assert/strict";
import { after, beforeEach, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  stores: { main: { type: "memory" } },
  routes: [
    {
      name: "payments",
      match: { path: "/payments" },
      pipeline: [{ plugin: "idempotency-key", grants: { kv: true } }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

let served = 0;
beforeEach(() => {
  served = 0;
  gw.clock.advance(48 * 3_600_000); // what was kept is gone
  gw.upstream("app").reply(() => ({
    status: 201,
    headers: { location: `/payments/${++served}` },
    body: { id: served },
  }));
});

const pay = (key: string, body: object = { amount: 7 }, method = "POST") =>
  gw.fetch("/payments", { method, headers: { "Idempotency-Key": key }, body });

test("gives the reply of the first request to those after it", async () => {
  const first = await pay("k");
  const second = await pay("k");
  assert.deepEqual([first.status, await first.json()], [201, { id: 1 }]);
  assert.deepEqual([second.status, await second.json()], [201, { id: 1 }]);
  assert.equal(second.headers.get("location"), "/payments/1");
  assert.equal(second.headers.get("content-type"), "application/json");
  assert.equal(second.headers.get("idempotency-replayed"), "true");
  assert.equal(served, 1);
});

test("tells requests apart by key and by who sends them", async () => {
  await pay("k");
  await pay("other");
  const headers = { "idempotency-key": "k" };
  await gw.fetch("/payments", { method: "POST", headers, body: { amount: 7 }, ip: "10.0.0.9" });
  assert.equal(served, 3);
});

test("refuses a key with another request", async () => {
  await pay("k");
  assert.equal((await pay("k", { amount: 8 })).status, 422);
  assert.equal(served, 1);
});

test("refuses one that comes while the first is under way", async () => {
  const statuses: number[] = [];
  gw.upstream("app").replyOnce(async () => {
    statuses.push((await pay("k")).status);
    return { status: 201 };
  });
  statuses.push((await pay("k")).status);
  assert.deepEqual(statuses, [409, 201]);
});

test("keeps no reply of a server that failed", async () => {
  gw.upstream("app").replyOnce({ status: 503 });
  assert.equal((await pay("k")).status, 503);
  assert.equal((await pay("k")).status, 201);
  gw.upstream("app").failOnce("reset");
  assert.equal((await pay("b")).status, 502);
  assert.equal((await pay("b")).status, 409, "nobody knows what became of the first");
  gw.clock.advance(61_000);
  assert.equal((await pay("b")).status, 201);
});

test("has nothing to do with reading, and with requests that have no key", async () => {
  await pay("k", undefined, "GET");
  await pay("k", undefined, "GET");
  await gw.fetch("/payments", { method: "POST" });
  await gw.fetch("/payments", { method: "POST" });
  assert.equal(served, 4);
});
