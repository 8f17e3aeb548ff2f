import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const route = (name: string, options: object) => ({
  name,
  match: { path: `/${name}` },
  pipeline: [{ plugin: "geo-block", ...options }],
  upstream: "app",
});
const gw = await createTestGateway({
  routes: [
    route("allow", { allow: ["DE", "FR"] }),
    route("deny", { deny: ["FR"], unknown: "allow", header: "x-country" }),
  ],
});
after(() => gw.close());

const statusOf = async (url: string, headers: Record<string, string>): Promise<number> =>
  (await gw.fetch(url, { headers })).status;

test("lets in only the countries that are allowed", async () => {
  assert.equal(await statusOf("/allow", { "cf-ipcountry": "DE" }), 200);
  assert.equal(await statusOf("/allow", { "cf-ipcountry": "fr" }), 200);
  assert.equal(await statusOf("/allow", { "cf-ipcountry": "US" }), 403);
});

test("keeps out the countries that are denied", async () => {
  assert.equal(await statusOf("/deny", { "x-country": "FR" }), 403);
  assert.equal(await statusOf("/deny", { "x-country": "US" }), 200);
});

test("treats those whose country is not known as it is told", async () => {
  for (const country of ["XX", "T1", "", "DE, FR"]) {
    assert.equal(await statusOf("/allow", { "cf-ipcountry": country }), 403);
    assert.equal(await statusOf("/deny", { "x-country": country }), 200);
  }
  assert.equal(await statusOf("/allow", {}), 403);
});

test("counts whom it refuses by country", async () => {
  await statusOf("/allow", { "cf-ipcountry": "US" });
  const metrics = await gw.metrics();
  assert.ok(metrics['sluice_script_geo_block_refused{country="US"}']! >= 1, JSON.stringify(metrics));
});
