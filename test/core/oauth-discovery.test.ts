import { afterEach, beforeEach, expect, it } from "vitest";
import { AskError, Asker } from "../../core/asker.ts";
import { HeaderList } from "../../core/headers.ts";
import { OAuthDiscovery } from "../../core/oauth-discovery.ts";
import { FakeHost } from "../support/harness.ts";
import { type FakeOAuthServer, startOAuthServer } from "../support/oauth-server.ts";

let host: FakeHost;
let server: FakeOAuthServer;
let asker: Asker;

beforeEach(async () => {
  host = new FakeHost();
  server = await startOAuthServer();
  asker = new Asker("the issuer", { name: "sluice_asked_total", help: "" }, host);
});
afterEach(async () => {
  asker.close();
  await server.close();
});

const open = (issuer = server.url): OAuthDiscovery<URL> =>
  new OAuthDiscovery({
    issuer,
    read: (metadata) => metadata.url("token_endpoint"),
    allowHttp: false,
    timeoutMs: 5000,
    asker,
    clock: host.clock,
  });

it("is fetched once for all who ask, and again after an hour, which nobody waits for", async () => {
  const discovery = open();
  const urls = await Promise.all([discovery.find(), discovery.find()]);
  expect(urls.map(String)).toEqual([`${server.url}/token`, `${server.url}/token`]);
  host.clock.advance(3_599_999);
  await discovery.find();
  expect(server.discoveries).toBe(1);
  host.clock.advance(1);
  server.published = { issuer: server.url, token_endpoint: `${server.url}/other` };
  expect(String(await discovery.find())).toBe(`${server.url}/token`);
  await expect.poll(async () => String(await discovery.find())).toBe(`${server.url}/other`);
});

it("goes on to hold while it cannot be fetched", async () => {
  const discovery = open();
  await discovery.find();
  await server.close();
  const failed = (): unknown => [...host.counts].find(([key]) => key.includes("failed"))?.[1];
  for (let i = 0; i < 3; i++) {
    host.clock.advance(3_600_000);
    expect(String(await discovery.find())).toBe(`${server.url}/token`);
    await expect.poll(() => failed()).toBe(i + 1);
  }
});

it("is not fetched again and again while that fails", async () => {
  server.published = "[]";
  const discovery = open();
  for (let i = 0; i < 3; i++) await expect(discovery.find()).rejects.toThrow(AskError);
  expect(server.discoveries).toBe(1);
  host.clock.advance(5000);
  await expect(discovery.find()).rejects.toThrow("no object");
  expect(server.discoveries).toBe(2);
});

it("is at a path of the issuer's, which may end in a slash", async () => {
  await expect(open(`${server.url}/`).find()).rejects.toThrow("it is of another issuer");
  expect(server.discoveries).toBe(1);
});

it.each([
  ["another issuer", { issuer: "https://other.example.com" }],
  ["no issuer", { issuer: undefined }],
  ["no URL", { token_endpoint: undefined }],
  ["what is no URL", { token_endpoint: "/token" }],
  ["http:", { token_endpoint: "http://login.example.com/token" }],
  ["a password", { token_endpoint: "https://a:b@login.example.com/token" }],
  ["another scheme", { token_endpoint: "file:///etc/passwd" }],
])("is not believed with %s", async (_, more) => {
  server.published = { issuer: server.url, token_endpoint: `${server.url}/token`, ...more };
  await expect(open().find()).rejects.toThrow(AskError);
});

it("is not believed with another status", async () => {
  server.publishedStatus = 203;
  await expect(open().find()).rejects.toThrow("status 203");
});

it.each([
  ["https://login.example.com/token", true],
  ["http://127.0.0.1:9901/token", false],
  ["http://localhost/token", false],
])("of an issuer by https says %s, which is believed: %s", async (url, isBelieved) => {
  const issuer = "https://login.example.com";
  const body = JSON.stringify({ issuer, token_endpoint: url });
  asker.ask = async (_question, read) => read({ status: 200, headers: new HeaderList(), body });
  const located = open(issuer).find();
  if (isBelieved) expect(String(await located)).toBe(url);
  else await expect(located).rejects.toThrow("no token_endpoint that can be used");
});
