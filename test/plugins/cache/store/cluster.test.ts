import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type CacheGateway, joinCache, noFields } from "../../../support/cache-gateways.ts";
import { startRedisCluster, type RedisCluster } from "../../../support/redis.ts";
import { clusterOf } from "../../../support/stores.ts";

const KEYS = Array.from({ length: 30 }, (_, i) => `key ${i}`);
const TIMEOUT_MS = 100;

describe("the second level in a Redis cluster", () => {
  let using: AsyncDisposableStack;
  let cluster: RedisCluster;
  beforeEach(async () => {
    using = new AsyncDisposableStack();
    cluster = using.use(await startRedisCluster(1));
  });
  afterEach(() => using.disposeAsync());
  const join = (): Promise<CacheGateway> =>
    joinCache(using, clusterOf(cluster.nodes, { timeout: `${TIMEOUT_MS}ms` }), { readPurgesEveryMs: 100 });
  const found = async ({ level }: CacheGateway): Promise<number> => {
    const entries = await Promise.all(KEYS.map((key) => level.find(key, noFields)));
    return entries.filter((entry) => entry !== undefined).length;
  };
  const putAll = async ({ level, entry }: CacheGateway): Promise<void> => {
    await Promise.all(KEYS.map((key) => level.put(entry({ key, vary: ["x", ""] }))));
  };

  it("goes on while a primary is killed under load, and nobody waits for it for long", async () => {
    const [one, other] = [await join(), await join()];
    const putAndFind = (): Promise<number> => putAll(one).then(() => found(other));
    await expect.poll(putAndFind).toBe(KEYS.length);
    let isOver = false;
    let longestMs = 0;
    let answered = 0;
    const load = async (gateway: CacheGateway): Promise<void> => {
      for (let i = 0; !isOver; i++) {
        const key = KEYS[i % KEYS.length]!;
        const began = performance.now();
        const { entry, turn } = await gateway.level.claim(key, noFields, TIMEOUT_MS);
        await gateway.level.put(gateway.entry({ key, vary: ["x", ""] }), turn);
        longestMs = Math.max(longestMs, performance.now() - began);
        if (entry !== undefined) answered++;
        await setImmediate();
      }
    };
    const loads = [one, other, one, other].map(load);
    await cluster.servers[0]!.kill();
    const before = answered;
    await expect.poll(() => found(one)).toBe(KEYS.length);
    await expect.poll(() => found(other)).toBe(KEYS.length);
    isOver = true;
    await Promise.all(loads);
    expect(answered).toBeGreaterThan(before);
    // Several calls of a request in turn, on a machine that is busy electing.
    expect(longestMs).toBeLessThan(50 * TIMEOUT_MS);
    const version = other.purges.version;
    await expect
      .poll(() => one.purgeLog.append({ kind: "all", value: "", soft: false }, undefined, "purge"))
      .toBe(true);
    await expect.poll(() => other.purges.stateOf(other.entry({ version }))).toBe("gone");
    expect(await found(other)).toBe(0);
  });
});
