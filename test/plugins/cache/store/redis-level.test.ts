import { setImmediate } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { Entry } from "../../../../plugins/cache/entry.ts";
import type { Purge } from "../../../../plugins/cache/level.ts";
import { type RedisServer, startRedis } from "../../../support/redis.ts";
import { useRedis } from "../../../support/use-redis.ts";
import {
  CACHE,
  type CacheGateway,
  fields,
  joinCache,
  type JoinOptions,
  noFields,
} from "../../../support/cache-gateways.ts";
import { redisAt } from "../../../support/stores.ts";

const { KEY, SCOPE } = CACHE;

describe("the second level in Redis", () => {
  const redis = useRedis();

  const join = ({
    at = redis.server,
    ...rest
  }: JoinOptions & { at?: RedisServer } = {}): Promise<CacheGateway> =>
    joinCache(redis.using, redisAt(at.url, { timeout: rest.timeout ?? "5s" }), rest);
  const keys = async (): Promise<string[]> =>
    (await redis.server.ask("keys", `*${SCOPE}*`)).split("\n").filter(Boolean).toSorted();
  const bodyOf = (entry: Entry | undefined): string | undefined => entry?.body.toString();

  it("gives what another gateway has put there, for as long as it is of use", async () => {
    const [one, other] = [await join(), await join()];
    expect(await other.level.find(KEY, noFields)).toBeUndefined();
    const entry = one.entry({ body: Buffer.from("text ".repeat(1000)), tags: ["a"], mustRevalidate: true });
    await one.level.put(entry);
    expect(await other.level.find(KEY, noFields)).toEqual(entry);
    expect(await other.level.find(`${KEY}?`, noFields)).toBeUndefined();
    const [key = ""] = await keys();
    const ttlMs = Number(await redis.server.ask("pttl", key));
    expect(ttlMs > 55_000 && ttlMs <= 60_000).toBe(true);
    expect(key).not.toContain("example");
    expect(one.stats).toMatchObject({ writes: { stored: 1 }, bytes: { written: expect.any(Number) } });
    expect(other.stats.lookups).toMatchObject({ hit: 1, miss: 2, error: 0 });
    expect(other.stats.bytes.read).toBe(one.stats.bytes.written);
    expect(other.stats.bytes.read).toBeLessThan(400);
  });

  it("keeps no parts, and nothing that is of no use any more", async () => {
    const { level, entry, stats } = await join();
    await level.put(entry({ part: { first: 0, total: 10 } }));
    await level.put(entry({ freshMs: 0 }));
    expect(await keys()).toEqual([]);
    expect(stats.writes).toEqual({ stored: 0, failed: 0, dropped: 0 });
  });

  it("gives a request the variant that is for it", async () => {
    const { level, entry } = await join();
    const put = (body: string, vary: readonly string[]) =>
      level.put(entry({ body: Buffer.from(body), vary }));
    const find = async (...request: Parameters<typeof fields>) =>
      bodyOf(await level.find(KEY, fields(...request)));
    await put("gzip", ["accept-encoding", "gzip"]);
    await put("br", ["accept-encoding", "br"]);
    await put("none", ["accept-encoding", ""]);
    expect(await find({ "accept-encoding": "gzip", "user-agent": "any" })).toBe("gzip");
    expect(await find({ "accept-encoding": "br" })).toBe("br");
    expect(await find({})).toBe("none");
    expect(await find({ "accept-encoding": "zstd" })).toBeUndefined();
    await put("gzip again", ["accept-encoding", "gzip"]);
    expect(await find({ "accept-encoding": "gzip" })).toBe("gzip again");
    expect(await keys()).toHaveLength(4);
    // The newest reply says what varies.
    await put("de", ["accept-encoding", "gzip", "accept-language", "de"]);
    expect(await find({ "accept-encoding": "gzip" })).toBeUndefined();
    expect(await find({ "accept-encoding": "gzip", "accept-language": "de" })).toBe("de");
    expect(await keys()).toHaveLength(2);
    await put("all", []);
    expect(await find({ "accept-encoding": "gzip", "accept-language": "de" })).toBe("all");
    expect(await keys()).toHaveLength(1);
  });

  it("gives no request what is for another, wherever it lies", async () => {
    const { level, entry } = await join();
    await level.put(entry({ vary: ["x", "1"] }));
    const [marker = "", variant = ""] = await keys();
    await redis.server.ask("rename", variant, marker);
    expect(await level.find(KEY, fields({ x: "2" }))).toBeUndefined();
    expect(await level.find(KEY, fields({ x: "1" }))).toBeDefined();
  });

  it("keeps a number of variants: the oldest goes", async () => {
    const { level, entry } = await join({ variants: 3 });
    for (let i = 0; i < 5; i++) await level.put(entry({ vary: ["x", String(i)] }));
    expect(await keys()).toHaveLength(4);
    expect(await level.find(KEY, fields({ x: "1" }))).toBeUndefined();
    expect(await level.find(KEY, fields({ x: "2" }))).toBeDefined();
  });

  it("keeps the marker of variants for as long as the longest of them", async () => {
    const { level, entry } = await join();
    await level.put(entry({ vary: ["x", "long"], freshMs: 600_000 }));
    await level.put(entry({ vary: ["x", "short"], freshMs: 10_000 }));
    const [marker = ""] = await keys();
    expect(Number(await redis.server.ask("pttl", marker))).toBeGreaterThan(590_000);
    await level.put(entry({ vary: ["x", "longer"], freshMs: 900_000 }));
    expect(Number(await redis.server.ask("pttl", marker))).toBeGreaterThan(890_000);
  });

  it("shows all variants of a key, counting nothing, and says when it is away", async () => {
    const lost = redis.using.use(await startRedis());
    const { level, entry, stats } = await join({ at: lost });
    expect(await level.lookUp(KEY)).toEqual([]);
    await level.put(entry());
    expect(await level.lookUp(KEY)).toMatchObject([{ key: KEY, vary: [] }]);
    for (const x of ["a", "b"]) await level.put(entry({ vary: ["x", x] }));
    const shown = await level.lookUp(KEY);
    expect(shown?.map(({ vary }) => vary)).toEqual([
      ["x", "a"],
      ["x", "b"],
    ]);
    expect(Object.values(stats.lookups).every((count) => count === 0)).toBe(true);
    await lost.kill();
    expect(await level.lookUp(KEY)).toBeUndefined();
  });

  it("deletes all variants of a key, also those that are being written", async () => {
    const { level, entry } = await join();
    for (const x of ["a", "b"]) await level.put(entry({ vary: ["x", x] }));
    const written = level.put(entry({ vary: ["x", "c"], body: Buffer.alloc(100_000, "abc") }));
    await level.delete(KEY);
    await written;
    expect(await keys()).toEqual([]);
    await redis.server.ask("script", "flush");
    await level.delete(KEY);
    const sent = level.put(entry());
    await setImmediate();
    await level.delete(KEY);
    await sent;
    expect(await keys()).toEqual([]);
  });

  it("has all gateways drop what was changed, and says nothing of what nobody has fetched", async () => {
    const [one, other] = [await join(), await join()];
    const { version } = other.purges;
    const longer = other.entry({ key: `${KEY}\nx-a:1`, url: "example.com/a" });
    await one.level.change(`${KEY}\nx-a:2`, "example.com/a");
    await other.purgeLog.read();
    expect(other.purges.version).toBe(version);
    for (const fetched of [longer, other.entry({ url: "example.com/a" })]) {
      await other.level.put(fetched);
      await one.level.change(`${KEY}\nx-a:2`, "example.com/a");
      await other.purgeLog.read();
      expect(other.purges.stateOf(fetched)).toBe("gone");
      expect(await other.level.find(fetched.key, noFields)).toBeUndefined();
    }
    const { turn } = await other.level.claim(KEY, noFields, 1000);
    const onItsWay = other.entry({ url: "example.com/a" });
    await one.level.change(KEY, "example.com/a");
    await other.level.put(onItsWay, turn);
    await one.purgeLog.read();
    expect(await one.level.find(KEY, noFields)).toBeUndefined();
  });

  it("has others drop what was changed while it was away, once it is back", async () => {
    const lost = redis.using.use(await startRedis());
    const [one, other] = [await join({ at: lost, readPurgesEveryMs: 20 }), await join({ at: lost })];
    const stored = other.entry({ url: "example.com/a" });
    await lost.kill();
    await one.level.change(KEY, "example.com/a");
    await lost.start();
    await expect.poll(() => lost.ask("llen", "sluice:cache:purges")).toBe("2");
    await other.purgeLog.read();
    expect(other.purges.stateOf(stored)).toBe("gone");
  });

  it("does not give what was purged, wherever that was said", async () => {
    const [one, other] = [await join(), await join()];
    const purge: Purge = { kind: "tag", value: "a", soft: false };
    const tagged = one.entry({ tags: ["a"] });
    await one.level.put(tagged);
    await other.purgeLog.append(purge);
    await one.purgeLog.read();
    expect(await one.level.find(KEY, noFields)).toBeUndefined();
    expect(one.stats.lookups.unusable).toBe(1);
    await one.level.put(one.entry({ tags: ["a"] }));
    expect(await other.level.find(KEY, noFields)).toBeDefined();
    await other.purgeLog.append({ ...purge, soft: true });
    expect(await other.level.find(KEY, noFields)).toBeDefined();
  });

  it("gives nothing from before the purges were lost", async () => {
    const { level, entry, purgeLog } = await join();
    await level.put(entry());
    await redis.server.ask("del", "sluice:cache:purges");
    await purgeLog.read();
    expect(await level.find(KEY, noFields)).toBeUndefined();
    await level.put(entry());
    expect(await level.find(KEY, noFields)).toBeDefined();
  });

  it("gives nothing while the purges are not known", async () => {
    const { level, entry, purgeLog, stats } = await join();
    await level.put(entry());
    Object.defineProperty(purgeLog, "isTrusted", { value: false });
    expect(await level.find(KEY, noFields)).toBeUndefined();
    expect(await level.claim(KEY, noFields, 100)).toEqual({ entry: undefined, turn: undefined });
    expect(stats.lookups).toMatchObject({ hit: 0, skipped: 2 });
  });

  describe.each(["find", "claim"] as const)("when asked by %s", (how) => {
    const ask = async ({ level }: CacheGateway): Promise<Entry | undefined> =>
      how === "find" ? level.find(KEY, noFields) : (await level.claim(KEY, noFields, 0)).entry;

    it.each([
      ["of an older format", (key: string) => redis.server.ask("setrange", key, "3", "0")],
      ["of a newer format", (key: string) => redis.server.ask("setrange", key, "3", "\x02")],
      ["with another byte", (key: string) => redis.server.ask("setrange", key, "30", "\x01")],
      ["that is cut off", async (key: string) => redis.server.ask("set", key, "SLC\x01abc")],
      ["that is a text", async (key: string) => redis.server.ask("set", key, "hello")],
      ["that is empty", async (key: string) => redis.server.ask("set", key, "")],
      ["that is a broken marker", async (key: string) => redis.server.ask("set", key, "SLV\x01names")],
    ])("drops and counts an entry %s", async (_, harm) => {
      const gateway = await join();
      await gateway.level.put(gateway.entry());
      const [key = ""] = await keys();
      await harm(key);
      expect(await ask(gateway)).toBeUndefined();
      expect(gateway.stats.lookups).toMatchObject({ corrupt: 1, hit: 0 });
      await expect.poll(() => redis.server.ask("exists", key)).toBe("0");
      await gateway.level.put(gateway.entry());
      expect(bodyOf(await ask(gateway))).toBe("hello");
    });

    it("drops what is no value at all", async () => {
      const gateway = await join();
      await gateway.level.put(gateway.entry());
      const [key = ""] = await keys();
      await redis.server.ask("del", key);
      await redis.server.ask("lpush", key, "1");
      expect(await ask(gateway)).toBeUndefined();
      await expect.poll(() => redis.server.ask("exists", key)).toBe("0");
      await gateway.level.put(gateway.entry());
      expect(bodyOf(await ask(gateway))).toBe("hello");
    });
  });

  describe("that goes away", () => {
    it("is asked for nothing when it is known to be away, and again when it is back", async () => {
      const lost = redis.using.use(await startRedis());
      const gateway = await join({ at: lost, timeout: "100ms" });
      const { level, entry, stats, log } = gateway;
      await level.put(entry());
      await lost.kill();
      await expect
        .poll(async () => {
          await level.find(KEY, noFields);
          return log.lines.map(({ message }) => message);
        })
        .toEqual(["away"]);
      const { error } = stats.lookups;
      const began = performance.now();
      for (let i = 0; i < 1000; i++) await level.find(KEY, noFields);
      const tries = 2 + (performance.now() - began) / 250;
      expect(stats.lookups.error - error).toBeLessThanOrEqual(tries);
      expect(await level.claim(KEY, noFields, 5000)).toEqual({ entry: undefined, turn: undefined });
      await level.put(entry());
      await level.delete(KEY);
      expect(stats.writes.failed).toBe(1);
      await lost.start();
      await gateway.purgeLog.read();
      await expect
        .poll(async () => {
          await gateway.purgeLog.read();
          await level.put(entry());
          return bodyOf(await level.find(KEY, noFields));
        })
        .toBe("hello");
      expect(log.lines.map(({ message }) => message)).toContain("back");
    });

    it("is not used with a password that is wrong, and nobody is told that", async () => {
      const locked = redis.using.use(await startRedis("--requirepass", "right"));
      const url = locked.url.replace("redis://", "redis://:hunter2@");
      const gateway = await joinCache(redis.using, redisAt(url));
      await gateway.level.put(gateway.entry());
      expect(await gateway.level.find(KEY, noFields)).toBeUndefined();
      expect(await gateway.level.claim(KEY, noFields, 5000)).toEqual({ entry: undefined, turn: undefined });
      expect(gateway.stats).toMatchObject({ lookups: { skipped: 2 }, writes: { failed: 1 } });
      expect(JSON.stringify(gateway.log.lines)).not.toContain("hunter2");
    });

    it("costs a request no more than its timeout while it is slow", async () => {
      const { level, entry, stats } = await join({ timeout: "30ms" });
      await level.put(entry());
      redis.server.freeze();
      redis.using.defer(() => redis.server.thaw());
      expect(await level.find(KEY, noFields)).toBeUndefined();
      expect(stats.lookups.error).toBe(1);
      redis.server.thaw();
      await expect.poll(async () => bodyOf(await level.find(KEY, noFields))).toBe("hello");
    });

    it("gives what it has when it is full, and takes nothing", async () => {
      const full = redis.using.use(await startRedis());
      const { level, entry, stats, health } = await join({ at: full });
      await level.put(entry());
      await full.ask("config", "set", "maxmemory", "1");
      for (let i = 0; i < 10; i++) await level.put(entry({ key: `k${i}` }));
      expect(stats.writes).toMatchObject({ stored: 1, failed: 10 });
      expect([health.isAway, bodyOf(await level.find(KEY, noFields))]).toEqual([false, "hello"]);
      expect(await level.claim("other", noFields, 1000)).toEqual({ entry: undefined, turn: undefined });
    });
  });
});
