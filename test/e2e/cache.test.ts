/** Caches in real gateways: on several threads, with a store, across reloads, with clients that go away. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startCli } from "../support/cli.ts";
import { proxyTo, startGateway } from "../support/gateway.ts";
import { startRedis } from "../support/redis.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

interface Got {
  status: number;
  text: string;
  cache: string | undefined;
  age: string | undefined;
}

/** A request on a connection of its own, so that any thread may get it. */
function ask(url: string, method = "GET"): Promise<Got> {
  return new Promise((resolve, reject) => {
    const agent = new Agent({ keepAlive: false });
    const request = get(url, { agent, method }, (response) => {
      const { headers, statusCode = 0 } = response;
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        const cache = headers["cache-status"] as string | undefined;
        resolve({ status: statusCode, text, cache, age: headers.age });
      });
    });
    request.on("error", reject);
  });
}

/** An upstream whose replies are numbered and may be stored; each waits for `gate`. */
async function startNumbered(): Promise<TestUpstream & { asked: number; gate: Promise<void> }> {
  const state = { asked: 0, gate: Promise.resolve() };
  const upstream = await startUpstream(async (message, response) => {
    if (message.method === "GET") state.asked++;
    const text = `reply ${state.asked} `;
    await state.gate;
    response.writeHead(200, { "cache-control": "max-age=60" });
    response.end(text.repeat(10));
  });
  return Object.assign(state, upstream);
}

const cached = (url: string, options: object = {}, parts: Record<string, unknown> = {}): object =>
  proxyTo(url, { pipeline: [{ plugin: "cache", ...options }] }, parts);

/** Asks until nothing that was stored before comes any more. */
async function untilNew(url: string, old: string): Promise<void> {
  for (const end = performance.now() + 5000; performance.now() < end; ) {
    const texts = await Promise.all(Array.from({ length: 10 }, () => ask(url)));
    if (texts.every(({ text }) => text !== old)) return;
  }
  throw new Error("the old reply still comes");
}

/** Asks until one gateway has from the store what the other has fetched: they begin without it. */
async function untilShared(one: string, other: string): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    await ask(`${one}/try-${i}`);
    if ((await ask(`${other}/try-${i}`)).cache?.includes("detail=store")) return;
  }
  throw new Error("the store is never used");
}

describe("a cache on two threads", () => {
  it("asks the upstream once for any number of requests, and once more after a change", async () => {
    await using upstream = await startNumbered();
    const folder = mkdtempSync(join(tmpdir(), "sluice-cache-"));
    const file = join(folder, "gateway.json");
    writeFileSync(file, JSON.stringify(cached(upstream.url, {}, { threads: 2 })));
    try {
      await using cli = await startCli(["-c", file]);
      await Promise.all(Array.from({ length: 50 }, (_, i) => ask(`${cli.url}/${i}`))); // both threads are awake
      upstream.asked = 0;
      const gate = Promise.withResolvers<void>();
      upstream.gate = gate.promise;
      const url = `${cli.url}/a`;
      const all = Array.from({ length: 100 }, () => ask(url));
      while (upstream.asked === 0) await new Promise((resolve) => setImmediate(resolve));
      gate.resolve(); // others are on their way, to either thread
      const replies = await Promise.all(all);
      expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
      expect(upstream.asked).toBe(1);
      for (let i = 0; i < 10; i++) expect((await ask(url)).cache).toMatch(/^sluice; hit; ttl=\d+/);
      await ask(url, "POST");
      await untilNew(url, replies[0]!.text);
      expect(upstream.asked).toBe(2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("a cache", () => {
  it("goes on storing for others when the client goes away, and keeps what it has over a reload", async () => {
    await using upstream = await startNumbered();
    const source = cached(upstream.url, { ttl: "1m" });
    await using gateway = await startGateway(source);
    const gate = Promise.withResolvers<void>();
    upstream.gate = gate.promise;
    const gone = get(`${gateway.url}/b`, () => {});
    gone.on("error", () => {});
    while (upstream.asked === 0) await new Promise((resolve) => setImmediate(resolve));
    gone.destroy();
    await gateway.logged((line) => line["status"] === 499);
    gate.resolve();
    let got = await ask(`${gateway.url}/b`);
    expect(got.text).toContain("reply 1 ");
    expect(upstream.asked).toBe(1);
    await gateway.reload(cached(upstream.url, { ttl: "2m", memory: { max: "1MB" } }));
    got = await ask(`${gateway.url}/b`);
    expect(got.cache).toMatch(/^sluice; hit/);
    expect(upstream.asked).toBe(1);
  });

  it("gives other gateways with the same store what one has fetched, and does without the store", async () => {
    await using upstream = await startNumbered();
    await using redis = await startRedis();
    const stores = { shared: { type: "redis", url: redis.url } };
    const key = { host: false }; // they have ports of their own
    const source = cached(upstream.url, { store: "shared", strategy: "write-through", key }, { stores });
    await using one = await startGateway(source);
    await using other = await startGateway(source);
    await untilShared(one.url, other.url);
    upstream.asked = 0;
    const [first] = await Promise.all([ask(`${one.url}/c`), ask(`${other.url}/c`), ask(`${other.url}/c`)]);
    expect(first.text).toContain("reply 1 ");
    expect(upstream.asked).toBe(1);
    expect((await ask(`${other.url}/c`)).cache).toMatch(/^sluice; hit; ttl=\d+$/);
    await redis.kill();
    expect((await ask(`${one.url}/d`)).status).toBe(200);
    expect((await ask(`${one.url}/c`)).cache).toMatch(/^sluice; hit/);
  });
});
