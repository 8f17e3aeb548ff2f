import { describe, expect, it } from "vitest";
import { PurgeTable } from "../../../../plugins/cache/purges.ts";
import { openStoreLevel, type StoreLevelOptions } from "../../../../plugins/cache/store/open-store-level.ts";
import { entryOf } from "../../../support/cache-entries.ts";
import { noFields } from "../../../support/cache-gateways.ts";
import { FakeHost } from "../../../support/harness.ts";
import { useRedis } from "../../../support/use-redis.ts";
import { openStore, redisAt } from "../../../support/stores.ts";

describe("the second level of a cache", () => {
  const redis = useRedis();

  /** A generation, with one host a stage. */
  async function createGeneration(...stages: string[]): Promise<FakeHost[]> {
    const { store } = redis.using.use(await openStore(redisAt(redis.server.url)));
    return stages.map((stage) => {
      const host = new FakeHost();
      Object.assign(host, { stage, stores: new Map([["shared", store]]) });
      host.clock.time = Date.now();
      redis.using.defer(() => close(host));
      return host;
    });
  }
  const close = async ({ closers }: FakeHost): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  function open(host: FakeHost, more: Partial<StoreLevelOptions> = {}) {
    const purges = new PurgeTable();
    const options = { store: "shared", strategy: "cache-aside", compressAbove: 1000, variants: 8 } as const;
    return { purges, ...openStoreLevel({ ...options, purges, ...more }, host) };
  }

  it("is refused in memory, and says why", () => {
    expect(() => open(new FakeHost(), { store: "main" })).toThrow(
      expect.objectContaining({
        problems: [
          {
            code: "CONFIG_VALUE",
            message: "`main` is in memory, which gateways do not share: name a store in Redis, or none",
            pointer: "/store",
          },
        ],
      }),
    );
  });

  it.each([
    ["cache-aside", 0],
    ["write-through", 1],
    ["write-behind", 0],
  ] as const)("is waited for as %s says", async (strategy, stored) => {
    const [host] = await createGeneration("cache");
    const { level, stats, purges, purgeLog } = open(host!, { strategy });
    await purgeLog.settled;
    await level.put(entryOf({ version: purges.version, respondedAtMs: host!.clock.time }));
    expect(stats.writes.stored).toBe(stored);
    await expect.poll(() => stats.writes.stored).toBe(1);
    expect(await level.find(entryOf().key, noFields)).toBeDefined();
  });

  it("keeps what stages of the same keys have apart", async () => {
    const [one, other] = await createGeneration("cache", "cache#2");
    const [{ level, purges, purgeLog }, another] = [open(one!, { strategy: "write-through" }), open(other!)];
    await purgeLog.settled;
    await level.put(entryOf({ version: purges.version, respondedAtMs: one!.clock.time }));
    expect(await level.find(entryOf().key, noFields)).toBeDefined();
    expect(await another.level.find(entryOf().key, noFields)).toBeUndefined();
  });

  it("reads purges once for all stages of a generation, and tells all of them", async () => {
    const hosts = await createGeneration("cache", "cache#2");
    const [one, other] = [open(hosts[0]!), open(hosts[1]!)];
    expect(one.purgeLog).toBe(other.purgeLog);
    await one.purgeLog.settled;
    const { version } = other.purges;
    await one.purgeLog.append({ kind: "all", value: "", soft: false });
    expect(other.purges.stateOf(entryOf({ version }))).toBe("gone");
    await close(hosts[0]!);
    await other.purgeLog.append({ kind: "all", value: "", soft: false });
    expect(other.purges.version).toBeGreaterThan(one.purges.version);
  });

  it("waits for the first reading of purges instead of giving nothing", async () => {
    const [first] = await createGeneration("cache");
    const { level, purges, purgeLog } = open(first!, { strategy: "write-through" });
    await purgeLog.settled;
    await level.put(entryOf({ version: purges.version, respondedAtMs: first!.clock.time }));
    const [next] = await createGeneration("cache");
    expect(await open(next!).level.find(entryOf().key, noFields)).toBeDefined();
  });

  it("writes what waits when its generation closes", async () => {
    const [host] = await createGeneration("cache");
    const { level, stats, purgeLog } = open(host!, { strategy: "write-behind" });
    await purgeLog.settled;
    await level.put(entryOf({ respondedAtMs: host!.clock.time }));
    expect(host!.collected("sluice_cache_store_waiting")).toEqual({ '{"route":"test","stage":"cache"}': 1 });
    await close(host!);
    expect(stats.writes.stored).toBe(1);
  });

  it("counts by route and stage, over reloads", async () => {
    const [host] = await createGeneration("cache");
    const { level, purgeLog } = open(host!);
    await purgeLog.settled;
    await level.find("none", noFields);
    const [next] = await createGeneration("cache");
    Object.assign(next!, { kept: host!.kept });
    open(next!);
    expect(next!.collected("sluice_cache_store_lookups_total")).toMatchObject({
      '{"route":"test","stage":"cache","result":"miss"}': 1,
      '{"route":"test","stage":"cache","result":"hit"}': 0,
    });
  });
});
