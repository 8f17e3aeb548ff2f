import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const stage = { plugin: "maintenance", grants: { kv: true } };
const gw = await createTestGateway({
  stores: { main: { type: "memory" } },
  routes: [
    { name: "all", match: { path: "/*" }, pipeline: [stage], upstream: "app" },
    {
      name: "switch",
      match: { path: "/ops/maintenance" },
      pipeline: [
        { ...stage, isSwitch: true },
        { plugin: "respond", status: 404 },
      ],
    },
  ],
});
after(() => gw.close());

test("lets requests pass until it is turned on, and again after", async () => {
  assert.equal((await gw.fetch("/users")).status, 200);

  const on = await gw.fetch("/ops/maintenance?notice=Back%20at%206", { method: "PUT" });
  assert.deepEqual(await on.json(), { isOn: true, notice: "Back at 6" });
  const refused = await gw.fetch("/users");
  assert.equal(refused.status, 503);
  assert.equal(refused.headers.get("retry-after"), "60");
  assert.deepEqual(await refused.json(), { error: "Back at 6" });

  const off = await gw.fetch("/ops/maintenance", { method: "DELETE" });
  assert.deepEqual(await off.json(), { isOn: false });
  assert.equal((await gw.fetch("/users")).status, 200);
});

test("says what it is when asked, and changes nothing", async () => {
  const res = await gw.fetch("/ops/maintenance");
  assert.deepEqual(await res.json(), { isOn: false });
});
