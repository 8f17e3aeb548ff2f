import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const KEY = "whsec_test";
const gw = await createTestGateway({
  stores: { main: { type: "memory" } },
  routes: [
    {
      name: "hooks",
      match: { path: "/hooks", methods: ["POST"] },
      pipeline: [{ plugin: "webhook-signature", grants: { kv: true, secrets: { WEBHOOK_KEY: KEY } } }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

const sign = (text: string): string => createHmac("sha256", KEY).update(text).digest("hex");

/** Sends a webhook; gives the status, or the reason why it was refused. */
async function send(body: string, signature?: (time: number) => string): Promise<number | string> {
  const time = Math.floor(gw.clock.now() / 1000);
  const headers = { "x-signature": signature?.(time) ?? `t=${time},v1=${sign(`${time}.${body}`)}` };
  const res = await gw.fetch("/hooks", { method: "POST", headers, body });
  return res.status === 401 ? (await res.json()).error : res.status;
}

test("lets a signed webhook pass, once", async () => {
  assert.equal(await send('{"id":1,"név":"é"}'), 200);
  assert.equal(gw.upstream("app").last?.text(), '{"id":1,"név":"é"}');
  assert.equal(await send('{"id":1,"név":"é"}'), "the webhook came before");
  gw.clock.advance(1000);
  assert.equal(await send('{"id":1,"név":"é"}'), 200, "signed anew");
});

test("takes one of several signatures, for keys that change", async () => {
  assert.equal(await send("two", (t) => `t=${t}, v1=${"0".repeat(64)}, v1=${sign(`${t}.two`)}`), 200);
});

test("refuses what was changed, is old, or is not signed", async () => {
  assert.equal(await send("body", (t) => `t=${t},v1=${sign(`${t}.other`)}`), "the signature is wrong");
  assert.equal(await send("body", (t) => `t=${t - 1},v1=${sign(`${t}.body`)}`), "the signature is wrong");
  assert.equal(await send("body", (t) => `t=${t},v1=`), "the signature is wrong");
  const old = (t: number) => `t=${t - 301},v1=${sign(`${t - 301}.body`)}`;
  assert.equal(await send("body", old), "the signature is too old");
  for (const header of ["", "v1=00", "t=now,v1=00", "t=1"]) {
    assert.equal(await send("body", () => header), "the signature is missing");
  }
});
