/** What every store does, whatever it keeps its values in. SLUICE_TEST_REDIS_URL names a Redis that is there already. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { StoreConfig } from "../../../core/config/checked.ts";
import { createStoreScript, type KeyValueStore } from "../../../core/store/store.ts";
import { startRedis, startRedisCluster } from "../../support/redis.ts";
import { clusterOf, type OpenedStore, openStore, redisAt } from "../../support/stores.ts";

type Disposable = { [Symbol.asyncDispose](): Promise<void> };

const KINDS: Record<string, () => Promise<{ config: StoreConfig; server?: Disposable }>> = {
  memory: async () => ({ config: { type: "memory", maxBytes: "64MB" } }),
  async redis() {
    const there = process.env["SLUICE_TEST_REDIS_URL"];
    if (there !== undefined) return { config: redisAt(there) };
    const server = await startRedis();
    return { config: redisAt(server.url), server };
  },
  async "redis-cluster"() {
    const server = await startRedisCluster();
    return { config: clusterOf(server.nodes), server };
  },
};

describe.each(Object.entries(KINDS))("a store of type %s", (_, start) => {
  const using = new AsyncDisposableStack();
  let opened: OpenedStore;
  let store: KeyValueStore;
  beforeAll(async () => {
    const { config, server } = await start();
    if (server !== undefined) using.use(server);
    opened = using.use(await openStore(config));
    store = opened.store;
  });
  afterAll(() => using.disposeAsync());

  const key = (): string => `test:${randomUUID()}`;
  /** Waits until a key is gone; where time is fake, lets it go by. */
  const gone = (name: string): Promise<void> =>
    expect
      .poll(() => {
        opened.clock.advance(10);
        return store.get(name);
      })
      .toBeUndefined();
  const codeOf = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      (value) => ({ value }),
      (error: { code: string }) => error.code,
    );

  it("gives what was set, and nothing for what was not", async () => {
    const name = key();
    expect(await store.get(name)).toBeUndefined();
    expect(await store.set(name, "one")).toBe(true);
    expect(await store.get(name)).toBe("one");
    expect(await store.set(name, "")).toBe(true);
    expect(await store.get(name)).toBe("");
  });

  it("keeps any text, and makes a whole character of half a one", async () => {
    const name = `${key()} ünï 🚀\u0000\r\n`;
    await store.set(name, "ü🚀\u0000\r\n$5\r\n");
    expect(await store.get(name)).toBe("ü🚀\u0000\r\n$5\r\n");
    await store.set(name, "a\ud83d");
    expect(await store.get(name)).toBe("a\ufffd");
  });

  it("sets a value only where there is none, when asked to", async () => {
    const name = key();
    expect(await store.set(name, "first", { ifAbsent: true })).toBe(true);
    expect(await store.set(name, "second", { ifAbsent: true })).toBe(false);
    expect(await store.get(name)).toBe("first");
  });

  it("lets one of many set a value that is not there", async () => {
    const name = key();
    const all = Array.from({ length: 50 }, (_, i) => store.set(name, String(i), { ifAbsent: true }));
    expect((await Promise.all(all)).filter(Boolean)).toHaveLength(1);
  });

  it("sets a value only where another one is, when asked to", async () => {
    const name = key();
    expect(await store.set(name, "second", { ifValue: "first" })).toBe(false);
    expect(await store.get(name)).toBeUndefined();
    await store.set(name, "first");
    expect(await store.set(name, "third", { ifValue: "second" })).toBe(false);
    expect(await store.set(name, "second", { ifValue: "first" })).toBe(true);
    expect(await store.get(name)).toBe("second");
    expect(await store.set(name, "short", { ifValue: "second", ttlMs: 50 })).toBe(true);
    await gone(name);
  });

  it("lets one of many replace a value that they have read", async () => {
    const name = key();
    await store.set(name, "old");
    const all = Array.from({ length: 50 }, (_, i) => store.set(name, String(i), { ifValue: "old" }));
    expect((await Promise.all(all)).filter(Boolean)).toHaveLength(1);
  });

  it("forgets a value when its time is over", async () => {
    const [name, fresh] = [key(), key()];
    await store.set(name, "short", { ttlMs: 50 });
    await gone(name);
    expect(await store.set(name, "again", { ifAbsent: true })).toBe(true);
    await store.set(fresh, "long", { ttlMs: 3_600_000 });
    expect(await store.get(fresh)).toBe("long");
  });

  it("keeps a value for ever that is set again without a time", async () => {
    const [name, other] = [key(), key()];
    await store.set(name, "short", { ttlMs: 40 });
    await store.set(name, "long");
    await store.set(other, "", { ttlMs: 50 });
    await gone(other);
    expect(await store.get(name)).toBe("long");
  });

  it("adds to numbers", async () => {
    const name = key();
    expect(await store.incr(name, 5)).toBe(5);
    expect(await store.incr(name, -7)).toBe(-2);
    expect(await store.get(name)).toBe("-2");
    await store.set(name, "40");
    expect(await store.incr(name, 2)).toBe(42);
  });

  it("adds exactly when many add at once", async () => {
    const name = key();
    const sums = await Promise.all(Array.from({ length: 200 }, () => store.incr(name, 1)));
    expect(sums.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
  });

  it("counts a number's time from when it was made", async () => {
    const name = key();
    await store.incr(name, 1, { ttlMs: 50 });
    await store.incr(name, 1, { ttlMs: 3_600_000 });
    await gone(name);
    expect(await store.incr(name, 1)).toBe(1);
  });

  it("gives a number no time that is there already without one", async () => {
    const [name, other] = [key(), key()];
    await store.incr(name, 1);
    await store.incr(name, 1, { ttlMs: 40 });
    await store.set(other, "", { ttlMs: 50 });
    await gone(other);
    expect(await store.get(name)).toBe("2");
  });

  it.each(["", "one", "1.5", "01", "+1", " 1", "-0", "1e3", "9007199254740993"])(
    "does not add to the text %j, and leaves it",
    async (text) => {
      const name = key();
      await store.set(name, text);
      expect(await codeOf(store.incr(name, 1))).toBe("STORE_VALUE_INVALID");
      expect(await store.get(name)).toBe(text);
    },
  );

  it("does not add beyond what is exact", async () => {
    const name = key();
    const most = Number.MAX_SAFE_INTEGER;
    expect(await store.incr(name, most)).toBe(most);
    expect(await codeOf(store.incr(name, 1))).toBe("STORE_VALUE_INVALID");
    expect(await store.get(name)).toBe(String(most));
    expect(await store.incr(name, -1)).toBe(most - 1);
    expect(await codeOf(store.incr(key(), 0.5))).toBe("STORE_VALUE_INVALID");
    expect(await codeOf(store.incr(key(), Number.NaN))).toBe("STORE_VALUE_INVALID");
  });

  it("deletes, and says whether there was a value", async () => {
    const name = key();
    await store.set(name, "x");
    expect(await store.delete(name)).toBe(true);
    expect(await store.delete(name)).toBe(false);
    expect(await store.get(name)).toBeUndefined();
  });

  it("takes keys of 1 KB and values of 1 MB, and no longer ones", async () => {
    const name = "ü".repeat(512);
    const value = "v".repeat(1024 ** 2);
    expect(await store.set(name, value)).toBe(true);
    expect(await store.get(name)).toBe(value);
    expect(await codeOf(store.set(name, `${value}v`))).toBe("STORE_VALUE_INVALID");
    expect(await codeOf(store.set(`${name}a`, ""))).toBe("STORE_VALUE_INVALID");
    expect(await codeOf(store.get(""))).toBe("STORE_VALUE_INVALID");
    expect(await store.delete(name)).toBe(true);
  });

  it.each([0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])("takes no %s as a time", async (ttlMs) => {
    expect(await codeOf(store.set(key(), "", { ttlMs }))).toBe("STORE_VALUE_INVALID");
    expect(await codeOf(store.incr(key(), 1, { ttlMs }))).toBe("STORE_VALUE_INVALID");
  });

  it("runs scripts on keys of one slot, or says that it runs none", async () => {
    const two = createStoreScript(
      "redis.call('SET', KEYS[1], ARGV[1]) redis.call('SET', KEYS[2], ARGV[2], 'PX', 60000) return {1, 'two', false}",
    );
    const slot = key();
    const names = [`{${slot}}a`, `{${slot}}b`];
    const result = store.run(two, names, ["ü🚀\u0000", 2]);
    if (!store.runsScripts) return expect(await codeOf(result)).toBe("STORE_VALUE_INVALID");
    expect(await result).toEqual([1, "two", null]);
    expect(await Promise.all(names.map((name) => store.get(name)))).toEqual(["ü🚀\u0000", "2"]);
    expect(await codeOf(store.run(two, [""], []))).toBe("STORE_VALUE_INVALID");
    await Promise.all(names.map((name) => store.delete(name)));
  });

  it("takes and gives bytes as they are, or says that it knows of none", async () => {
    const put = createStoreScript("redis.call('SET', KEYS[1], ARGV[1]) return {ARGV[1], 1, false}");
    const name = key();
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 256));
    if (!store.runsScripts) {
      const calls = [
        store.getBytes(name),
        store.runForBytes(put, [name], [bytes]),
        store.subscribe(name, { told() {}, connected() {} }),
      ];
      for (const call of calls) expect(await codeOf(call)).toBe("STORE_VALUE_INVALID");
      return;
    }
    expect(await store.getBytes(name)).toBeUndefined();
    expect(await store.runForBytes(put, [name], [bytes])).toEqual([bytes, 1, null]);
    expect(await store.getBytes(name)).toEqual(bytes);
    expect(await codeOf(store.runForBytes(put, [name], [Buffer.alloc(64 * 1024 ** 2 + 1)]))).toBe(
      "STORE_VALUE_INVALID",
    );
    await store.delete(name);
  });

  it("tells those who subscribe what is published, until they have enough", async () => {
    if (!store.runsScripts) return;
    const publish = createStoreScript("return redis.call('PUBLISH', KEYS[1], ARGV[1])");
    const names = [key(), key(), key()] as const;
    const heard: string[] = [];
    const ends: (() => void)[] = [];
    const subscribe = async (name: string, by: string): Promise<void> => {
      const connected = Promise.withResolvers<void>();
      const told = (message: string) => void heard.push(`${by} ${message}`);
      ends.push(await store.subscribe(name, { told, connected: () => connected.resolve() }));
      await connected.promise;
    };
    await subscribe(names[0], "one");
    await subscribe(names[0], "other");
    await subscribe(names[1], "third");
    for (const name of names) await store.run(publish, [name], [`ü ${names.indexOf(name)}`]);
    await expect.poll(() => heard.toSorted()).toEqual(["one ü 0", "other ü 0", "third ü 1"]);
    ends[0]!();
    await store.run(publish, [names[0]], ["again"]);
    await expect.poll(() => heard.slice(3)).toEqual(["other again"]);
    for (const end of ends) end();
  });

  it("counts its calls by result, and their time", async () => {
    await store.get(key());
    await codeOf(store.get(""));
    const { text } = await opened.metrics.render();
    expect(text).toMatch(/sluice_store_calls_total\{store="main",result="ok"\} [1-9]/);
    expect(text).toMatch(/sluice_store_calls_total\{store="main",result="invalid"\} [1-9]/);
    expect(text).toMatch(/sluice_store_calls_total\{store="main",result="unavailable"\} 0/);
    expect(text).toMatch(/sluice_store_duration_seconds_count\{store="main"\} [1-9]/);
    expect(opened.log.lines).toEqual([]);
  });
});
