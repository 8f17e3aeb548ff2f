import assert from "node:assert/strict";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [
    {
      name: "all",
      match: {},
      pipeline: [{ plugin: "redact-json", fields: ["iban", "password"] }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

test("takes out fields wherever they are, and whatever is in them", async () => {
  const body = { name: "Ada", iban: "DE02…", cards: [{ password: ["a", "b"] }, { no: 7 }], list: ["iban"] };
  gw.upstream("app").reply({ body });
  assert.deepEqual(await (await gw.fetch("/")).json(), {
    name: "Ada",
    iban: "***",
    cards: [{ password: "***" }, { no: 7 }],
    list: ["iban"],
  });
});

test("leaves what is not JSON as it is", async () => {
  gw.upstream("app").reply({ headers: { "content-type": "text/plain" }, body: '{"iban":"x"}' });
  assert.equal(await (await gw.fetch("/")).text(), '{"iban":"x"}');
});

test("lets no reply out that says it is JSON and cannot be read", async () => {
  gw.upstream("app").reply({ headers: { "content-type": "application/json" }, body: '{"iban":"x"' });
  const res = await gw.fetch("/");
  assert.equal(res.status, 502);
  assert.doesNotMatch(await res.text(), /iban/);
});
