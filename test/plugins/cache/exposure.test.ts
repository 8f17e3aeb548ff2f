import { describe, expect, it } from "vitest";
import type { CacheReading, LookupReading, PurgeRequest } from "../../../core/cache-view.ts";
import type { Exchange } from "../../../core/plugin.ts";
import { cache } from "../../../plugins/cache.ts";
import { bodyText, buildStage, exchange, FakeHost, reply, type RequestInit } from "../../support/harness.ts";

const NEWS = { "cache-control": "max-age=60", "surrogate-key": "news front", "cache-tag": "sport, front" };

/** A cache whose upstream answers with headers that depend on the path. */
async function cached(options: object = {}, headers: (x: Exchange) => Record<string, string> = () => NEWS) {
  const host = new FakeHost();
  const asked: string[] = [];
  const handler = await buildStage(
    cache,
    { ...options },
    (x) => {
      asked.push(x.path);
      return reply(200, headers(x), `to ${x.path}`);
    },
    host,
  );
  const get = async (target: string, request: RequestInit = {}) => {
    const x = exchange({ target, ...request });
    const got = await handler(x);
    await bodyText(got);
    x.end();
    return got;
  };
  const status = async (target: string, request?: RequestInit) =>
    (await get(target, request)).headers.get("cache-status");
  const shown = host.exposed.get("caches/test:stage")!;
  const lookUp = (value: string, by: "url" | "key" = "url") =>
    shown.ask!({ kind: "lookup", by, value }) as Promise<LookupReading>;
  let id = 0;
  const purge = (kind: PurgeRequest["kind"], value = "", soft = false) =>
    shown.ask!({ kind: "purge", purge: { kind, value, soft }, id: String(++id) });
  return { host, asked, get, status, shown, lookUp, purge };
}

const MISS = expect.stringContaining("fwd=uri-miss");
const HIT = expect.stringContaining("hit");

describe("what operators see of a cache", () => {
  it("is what became of requests, replies and entries, and what memory they take", async () => {
    const { get, shown, host } = await cached({}, (x) => (x.path === "/no" ? {} : NEWS));
    for (const target of ["/a", "/a", "/no"]) await get(target);
    const reading = (await shown.describe()) as CacheReading;
    expect(reading).toMatchObject({
      route: "test",
      memory: { entries: 1, maxBytes: 64 * 1024 ** 2, evict: "lru" },
      requests: { hit: 1, miss: 2 },
      stored: 1,
      notStored: { "not-reusable": 1 },
    });
    const by = (name: string, more: object = {}) =>
      host.collected(name)[JSON.stringify({ route: "test", stage: "stage", ...more })];
    expect(by("sluice_cache_bytes")).toBe(reading.memory.bytes);
    expect(by("sluice_cache_entries")).toBe(1);
    expect(by("sluice_cache_stored_total")).toBe(1);
    expect(by("sluice_cache_not_stored_total", { reason: "not-reusable" })).toBe(1);
    expect(by("sluice_cache_evictions_total", { reason: "size" })).toBe(0);
    expect(host.counts.get('sluice_cache_fill_seconds{"route":"test","stage":"stage"}')).toBe(1);
  });

  it("is all that is stored for a URL, whatever else it is told apart by", async () => {
    const { get, lookUp, host } = await cached({ key: { headers: ["x-lang"] } }, () => ({
      ...NEWS,
      vary: "accept-encoding",
    }));
    await get("/a?b=1", { headers: { "x-lang": "de", "accept-encoding": "gzip" } });
    host.clock.advance(61_000);
    await get("/a?b=1", { headers: { "x-lang": "en" } });
    await get("/other");
    const { entries, refusal, thread } = await lookUp("http://LOCALHOST/a?b=1#c");
    expect([thread, refusal]).toEqual([0, null]);
    const shown = { status: 200, bytes: 5, tags: ["news", "front", "sport"] };
    expect(entries).toEqual([
      {
        ...shown,
        key: expect.stringContaining("x-lang:de"),
        ageSeconds: 61,
        ttlSeconds: -1,
        isFresh: false,
        vary: { "accept-encoding": "gzip" },
      },
      {
        ...shown,
        key: expect.stringContaining("x-lang:en"),
        ageSeconds: 0,
        ttlSeconds: 60,
        isFresh: true,
        vary: { "accept-encoding": null },
      },
    ]);
    expect((await lookUp(entries[1]!.key, "key")).entries).toEqual([entries[1]]);
  });

  it("is why a reply is not stored", async () => {
    const { get, lookUp, host } = await cached({}, () => ({ "cache-control": "private" }));
    await get("/a");
    const at = host.clock.now();
    expect(await lookUp("http://localhost/a")).toEqual({
      thread: 0,
      entries: [],
      store: null,
      refusal: { reason: "private", at },
    });
    expect((await lookUp("http://localhost/b")).refusal).toBeNull();
    await expect(lookUp("/a")).rejects.toThrow("a URL such as");
  });
});

describe("a purge", () => {
  it.each([
    ["tag", "sport"],
    ["url", "http://localhost/a"],
    ["url", "https://localhost:443/a"],
    ["prefix", "http://localhost/a"],
    ["all", ""],
  ] as const)("by %s %s takes away what it concerns", async (kind, value) => {
    const { status, purge, host } = await cached({}, (x) =>
      x.path === "/a" ? NEWS : { "cache-control": "max-age=60" },
    );
    for (const target of ["/a", "/b"]) await status(target);
    await purge(kind, value);
    expect(await status("/a")).toEqual(MISS);
    expect(await status("/b")).toEqual(kind === "all" ? MISS : HIT);
    expect(await status("/a")).toEqual(HIT);
    const labels = JSON.stringify({ route: "test", stage: "stage", kind });
    expect(host.collected("sluice_cache_purges_total")[labels]).toBe(1);
  });

  it("by key takes away all that is under it", async () => {
    const { status, purge, lookUp } = await cached();
    await status("/a");
    await purge("key", (await lookUp("http://localhost/a")).entries[0]!.key);
    expect(await status("/a")).toEqual(MISS);
  });

  it("that is soft has it validated, and used meanwhile where that is allowed", async () => {
    const { status, purge, lookUp } = await cached({ staleWhileRevalidate: "10s" });
    await status("/a");
    await purge("tag", "news", true);
    expect((await lookUp("http://localhost/a")).entries[0]).toMatchObject({ isFresh: false, ttlSeconds: 0 });
    expect(await status("/a")).toBe("sluice; hit; ttl=0; detail=stale-while-revalidate");
  });

  it("by URL goes by what tells replies apart only", async () => {
    const { status, purge } = await cached({ key: { host: false, query: { except: ["utm"] } } });
    await status("/a?utm=1&b=2");
    await purge("url", "/a?b=2&utm=3");
    expect(await status("/a?b=2")).toEqual(MISS);
    await purge("prefix", "https://anything.example/a");
    expect(await status("/a?b=2")).toEqual(MISS);
  });

  it("is not for a fetch that began before it: what comes later is fetched anew", async () => {
    const first = Promise.withResolvers<void>();
    const host = new FakeHost();
    const asked: number[] = [];
    const handler = await buildStage(
      cache,
      {},
      async () => {
        if (asked.push(1) === 1) await first.promise;
        return reply(200, NEWS, `reply ${asked.length}`);
      },
      host,
    );
    const shown = host.exposed.get("caches/test:stage")!;
    const [early, late] = [exchange(), exchange()];
    const before = Promise.resolve(handler(early));
    await shown.ask!({ kind: "purge", purge: { kind: "tag", value: "news", soft: false }, id: "1" });
    const after = await handler(late);
    expect(await bodyText(after)).toBe("reply 2");
    first.resolve();
    await bodyText(await before);
    const third = await handler(exchange());
    expect(await bodyText(third)).toBe("reply 2");
    expect(third.headers.get("cache-status")).toEqual(HIT);
  });
});

describe("what a reply tells the cache alone", () => {
  it("does not reach clients: tags, and purges", async () => {
    const { get } = await cached({ purgeHeader: "X-Purge" }, () => ({ ...NEWS, "x-purge": 'tag="other"' }));
    for (const method of ["GET", "GET", "HEAD", "POST"]) {
      const { headers } = await get("/a", { method });
      for (const name of ["surrogate-key", "cache-tag", "x-purge"]) expect(headers.has(name)).toBe(false);
    }
  });

  it("reaches them where tags are forwarded, and where a header is not one by which replies purge", async () => {
    const { get } = await cached({ forwardTags: true }, () => ({ ...NEWS, "x-purge": "all" }));
    for (let i = 0; i < 2; i++) {
      const { headers } = await get("/a");
      expect(headers.get("surrogate-key")).toBe("news front");
      expect(headers.get("x-purge")).toBe("all");
    }
  });

  it("purges before the client has its reply, and relative to what was asked for", async () => {
    const { status, get, host } = await cached({ purgeHeader: "x-purge" }, (x) =>
      x.method === "POST" ? { "x-purge": x.headers.get("ask")! } : NEWS,
    );
    const purges = async (ask: string): Promise<unknown[]> => {
      for (const target of ["/a", "/b"]) await status(target);
      await get("/change", { method: "POST", headers: { ask } });
      return [await status("/a"), await status("/b")];
    };
    expect(await purges('url="/a"')).toEqual([MISS, HIT]);
    expect(await purges('prefix="/"')).toEqual([MISS, MISS]);
    expect(await purges('tag=("none" "sport")')).toEqual([MISS, MISS]);
    expect(await purges('url="http://other/a"')).toEqual([HIT, HIT]);
    expect(await purges("nonsense=1")).toEqual([HIT, HIT]);
    const many = Array.from({ length: 257 }, (_, i) => `"t${i}"`).join(" ");
    expect(await purges(`tag=(${many})`)).toEqual([MISS, MISS]);
    const malformed = JSON.stringify({ route: "test", stage: "stage", kind: "malformed" });
    expect(host.collected("sluice_cache_purges_total")[malformed]).toBe(1);
  });
});
