/** What operators see of caches and purge in them: on two threads, and at two gateways with the same store. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningCli, startCli } from "../support/cli.ts";
import { proxyTo } from "../support/gateway.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const using = new AsyncDisposableStack();
let upstream: TestUpstream;
let redis: RedisServer;
let folder: string;
/** What the upstream answers now. */
let text = "old";
/** How often it was asked for anything but a sitemap. */
let asked = 0;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sluice-cache-admin-"));
  using.defer(() => rmSync(folder, { recursive: true }));
  upstream = using.use(
    await startUpstream((message, response) => {
      const headers: Record<string, string> = { "cache-control": "max-age=60", "surrogate-key": "news" };
      if (message.url === "/private") headers["cache-control"] = "private";
      if (message.url === "/sitemap.xml") {
        const locations = ["/1", "/2"].map(
          (path) => `<loc>http://${message.headers["x-forwarded-host"]}${path}</loc>`,
        );
        response.writeHead(200).end(`<urlset>${locations.join("")}</urlset>`);
        return;
      }
      asked++;
      if (message.method === "POST") headers["x-purge"] = 'tag="news"';
      response.writeHead(200, headers).end(text);
    }),
  );
  redis = using.use(await startRedis());
});
afterAll(() => using.disposeAsync());

function ask(
  url: string,
  method = "GET",
  sent: Record<string, string> = {},
): Promise<{ text: string; headers: IncomingMessage["headers"] }> {
  return new Promise((resolve, reject) => {
    // On a connection of its own, so that any thread may get it.
    const request = get(url, { agent: new Agent(), method, headers: sent }, async (response) => {
      let body = "";
      for await (const chunk of response.setEncoding("utf8")) body += chunk;
      resolve({ text: body, headers: response.headers });
    });
    request.on("error", reject);
  });
}

/** What many requests get, each once. */
async function texts(url: string): Promise<string[]> {
  const all = await Promise.all(Array.from({ length: 20 }, () => ask(url)));
  return [...new Set(all.map((reply) => reply.text))];
}

async function start(name: string, options: object, parts: Record<string, unknown>): Promise<RunningCli> {
  const file = join(folder, `${name}.json`);
  const pipeline = [{ plugin: "cache", ...options }];
  const admin = { address: "127.0.0.1:0" };
  writeFileSync(file, JSON.stringify(proxyTo(upstream.url, { pipeline }, { admin, ...parts })));
  return startCli(["-c", file, "--no-supervise"]);
}

async function admin(cli: RunningCli, path: string, body?: object): Promise<Record<string, unknown>> {
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const reply = await fetch(`${cli.adminUrl}/admin/cache${path}`, init);
  return { httpStatus: reply.status, ...((await reply.json()) as object) };
}

describe("a cache on two threads", () => {
  it("is shown as one, purged on both when the reply comes, and by a reply a moment later", async () => {
    await using cli = await start("threads", { purgeHeader: "x-purge" }, { threads: 2 });
    const url = `${cli.url}/a`;
    const lookUp = (path: string) =>
      admin(cli, `/all:cache/lookup?url=${encodeURIComponent(cli.url + path)}`);
    await expect
      .poll(async () => [await texts(url), await lookUp("/a")])
      .toMatchObject([
        ["old"],
        { stored: true, entries: [{ status: 200, tags: ["news"], threads: [0, 1] }] },
      ]);
    expect((await ask(url)).headers["surrogate-key"]).toBeUndefined();
    await ask(`${cli.url}/private`);
    expect(await lookUp("/private")).toMatchObject({ stored: false, lastRefusal: { reason: "private" } });
    expect(await admin(cli, "/all:cache")).toMatchObject({
      memory: { entries: 2, maxBytes: 64 * 1024 ** 2 },
      notStored: { private: 1 },
    });
    for (const purge of [{ tag: "news" }, { url }, { prefix: cli.url }, { all: true, soft: true }]) {
      text = `after ${JSON.stringify(purge)}`;
      expect(await admin(cli, "/all:cache/purge", purge)).toMatchObject({ httpStatus: 200 });
      expect(await texts(url)).toEqual([text]);
    }
    text = "after a change";
    expect((await ask(`${cli.url}/change`, "POST")).headers["x-purge"]).toBeUndefined();
    await expect.poll(() => texts(url)).toEqual([text]);
    const metrics = await (await fetch(`${cli.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/sluice_cache_purges_total\{[^}]*kind="tag"[^}]*\} 2\n/);
  });
});

describe("a cache that is warmed", () => {
  it("has what is listed before clients ask for it, on whichever thread", async () => {
    const warm = {
      sitemaps: ["http://a.example/sitemap.xml"],
      urls: ["http://a.example/3"],
      rate: "1000/1s",
    };
    await using cli = await start("warm", { warm }, { threads: 2 });
    await expect
      .poll(() => admin(cli, "/all:cache"))
      .toMatchObject({
        warm: { state: "done", stored: 3, failed: 0, remaining: 0 },
      });
    const before = asked;
    const hosts = { host: "a.example" };
    for (const path of ["/1", "/2", "/3"]) {
      for (let i = 0; i < 5; i++) {
        const { headers } = await ask(cli.url + path, "GET", hosts);
        expect(headers["cache-status"]).toMatch(/^sluice; hit/);
      }
    }
    expect(asked).toBe(before);
  });
});

describe("caches with the same store", () => {
  it("are purged together, also when a message about it is missed", async () => {
    const parts = { threads: 1, stores: { shared: { type: "redis", url: redis.url } } };
    const options = { store: "shared", strategy: "write-through", key: { host: false } };
    await using one = await start("one", options, parts);
    await using other = await start("other", options, parts);
    const both = async (): Promise<string[]> => [
      (await ask(`${one.url}/a`)).text,
      (await ask(`${other.url}/a`)).text,
    ];
    text = "old";
    await expect.poll(both).toEqual(["old", "old"]);
    text = "new";
    expect(await admin(one, "/purge", { url: "/a" })).toMatchObject({ httpStatus: 200, everywhere: true });
    expect((await ask(`${one.url}/a`)).text).toBe("new");
    await expect.poll(both).toEqual(["new", "new"]);
    expect(await admin(one, "/all:cache")).toMatchObject({
      store: { name: "shared", writes: { failed: 0 } },
    });
    const lookUp = (): Promise<unknown> => admin(other, "/all:cache/lookup?url=/a");
    const stored = { key: "http:///a", bytes: 3, isFresh: true, version: expect.any(Number) };
    expect(await lookUp()).toMatchObject({ store: { name: "shared", available: true, entries: [stored] } });
    text = "newer";
    // As if nobody had been told.
    const [key] = (await redis.ask("keys", "*cache:purges")).split("\n");
    const last = Number(/^\[(\d+)/.exec(await redis.ask("lindex", key!, "-1"))![1]);
    await redis.ask("rpush", key!, JSON.stringify([last + 1, "tag", "news", false, "unheard"]));
    await expect.poll(both).toEqual(["newer", "newer"]);
    await redis.kill();
    expect(await lookUp()).toMatchObject({ stored: true, store: { available: false, entries: [] } });
  });
});
