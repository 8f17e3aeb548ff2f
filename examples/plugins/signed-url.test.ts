import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, test } from "node:test";
import { createTestGateway } from "sluice/test";

const gw = await createTestGateway({
  routes: [
    {
      name: "files",
      match: { path: "/files/*" },
      pipeline: [{ plugin: "signed-url", grants: { secrets: { URL_KEY: "key" } } }],
      upstream: "app",
    },
  ],
});
after(() => gw.close());

const sign = (url: string): string =>
  `${url}&signature=${createHmac("sha256", "key").update(url).digest("base64url")}`;
const inSeconds = (seconds: number): number => Math.floor(gw.clock.now() / 1000) + seconds;

const reasonOf = async (url: string): Promise<string> => {
  const res = await gw.fetch(url);
  assert.equal(res.status, 403);
  return (await res.json()).error;
};

test("lets a signed URL pass until it ends, and keeps the signature from the upstream", async () => {
  const url = sign(`/files/a%20b.pdf?page=2&expires=${inSeconds(60)}`);
  assert.equal((await gw.fetch(url)).status, 200);
  assert.equal(gw.upstream("app").last?.url, "/files/a%20b.pdf?page=2");
  gw.clock.advance(60_000);
  assert.equal(await reasonOf(url), "the URL is no longer valid");
});

test("refuses URLs that are not signed, or were changed after it", async () => {
  const url = sign(`/files/a?expires=${inSeconds(60)}`);
  assert.equal(await reasonOf("/files/a"), "the URL is not signed");
  assert.equal(await reasonOf(url.replace("/a?", "/b?")), "the signature is wrong");
  assert.equal(await reasonOf(`${url}AA`), "the signature is wrong");
  assert.equal(await reasonOf(`${url}&page=1`), "the URL is not signed");
});

test("refuses a signed URL without an end", async () => {
  assert.equal(await reasonOf(sign("/files/a?page=1")), "the URL is no longer valid");
  assert.equal(await reasonOf(sign("/files/a?expires=never")), "the URL is no longer valid");
});
