import { describe, expect, it } from "vitest";
import { bytesOf } from "../../../../plugins/cache/entry.ts";
import { WriteBehind } from "../../../../plugins/cache/store/write-behind.ts";
import { entryOf } from "../../../support/cache-entries.ts";
import { CACHE, type CacheGateway, joinCache, noFields } from "../../../support/cache-gateways.ts";
import { type RedisServer, startRedis } from "../../../support/redis.ts";
import { useRedis } from "../../../support/use-redis.ts";
import { redisAt } from "../../../support/stores.ts";

const { KEY } = CACHE;
/** What an entry takes. */
const BYTES = bytesOf(entryOf({ key: KEY }));

describe("a store that is written behind", () => {
  const redis = useRedis();

  async function join(more: { mostBytes?: number; flushMs?: number; at?: RedisServer } = {}) {
    const { at = redis.server, ...rest } = more;
    const gateway = await joinCache(redis.using, redisAt(at.url));
    const behind = new WriteBehind({ ...gateway, ...rest });
    return { ...gateway, behind };
  }
  const bodyIn = async ({ level }: CacheGateway, key: string): Promise<string | undefined> =>
    (await level.find(key, noFields))?.body.toString();

  it("is not waited for, and has all in the end", async () => {
    const gateway = await join();
    const { behind, entry, stats } = gateway;
    for (let i = 0; i < 200; i++) await behind.put(entry({ key: `k${i}` }));
    expect([behind.waiting, stats.writes.stored]).toEqual([200, 0]);
    await expect.poll(() => behind.waiting).toBe(0);
    expect(stats.writes.stored).toBe(200);
    expect(await bodyIn(gateway, "k199")).toBe("hello");
    await behind.put(entry({ key: "again" }));
    await expect.poll(() => bodyIn(gateway, "again")).toBe("hello");
  });

  it("is written once for what is put several times: the last", async () => {
    const gateway = await join();
    const { behind, entry, stats } = gateway;
    for (const body of ["one", "two", "three"]) await behind.put(entry({ body: Buffer.from(body) }));
    await behind.close();
    expect([stats.writes.stored, await bodyIn(gateway, KEY)]).toEqual([1, "three"]);
  });

  it("gets nothing that was deleted meanwhile", async () => {
    const gateway = await join();
    const { behind, entry } = gateway;
    await behind.delete(KEY); // so that Redis knows the script
    await behind.put(entry());
    await behind.put(entry({ key: "other" }));
    await behind.delete(KEY);
    await behind.close();
    expect([await bodyIn(gateway, KEY), await bodyIn(gateway, "other")]).toEqual([undefined, "hello"]);
  });

  it("is written before the generation closes", async () => {
    const gateway = await join();
    for (let i = 0; i < 100; i++) await gateway.behind.put(gateway.entry({ key: `k${i}` }));
    await gateway.behind.close();
    expect(gateway.stats.writes.stored).toBe(100);
    expect(gateway.log.lines).toEqual([]);
  });

  it("is written when it is back: the oldest have made room", async () => {
    const lost = redis.using.use(await startRedis());
    const gateway = await join({ at: lost, mostBytes: 10.5 * BYTES });
    const { behind, entry, stats } = gateway;
    await lost.kill();
    for (let i = 10; i < 30; i++) await behind.put(entry({ key: `${KEY.slice(0, -2)}${i}` }));
    const { waiting } = behind;
    expect(waiting).toBe(10);
    expect(stats.writes).toEqual({ stored: 0, failed: 0, dropped: 20 - waiting });
    await lost.start();
    await expect.poll(() => behind.waiting).toBe(0);
    await gateway.purgeLog.read();
    // What was written has a version from before Redis lost all purges.
    expect(stats.writes.stored).toBe(waiting);
    expect(await lost.ask("dbsize")).toBe(String(waiting + 1));
  });

  it("does not write what was changed meanwhile", async () => {
    const { behind, entry } = await join();
    await behind.put(entry({ key: `${KEY}\nx-a:1`, url: "example.com/a" }));
    await behind.put(entry({ url: "example.com/b" }));
    await behind.change(`${KEY}\nx-a:2`, "example.com/a");
    await expect.poll(() => behind.waiting).toBe(0);
    expect(await behind.find(`${KEY}\nx-a:1`, noFields)).toBeUndefined();
    expect(await behind.find(KEY, noFields)).toBeUndefined(); // the URL alone is one of the keys that went
  });

  it("does not keep a generation from closing when it is away, and that is said", async () => {
    const lost = redis.using.use(await startRedis());
    const { behind, entry, log } = await join({ at: lost, flushMs: 50 });
    await lost.kill();
    await behind.put(entry());
    await behind.close();
    expect(log.lines.filter(({ fields }) => "entries" in fields)).toMatchObject([
      { level: "warn", fields: { entries: 1 } },
    ]);
  });

  it("ends turns when it is written, or will not be", async () => {
    const [one, other] = [await join({ mostBytes: 1.5 * BYTES }), await join()];
    const { turn } = await one.behind.claim(KEY, noFields, 1000);
    const claimed = other.behind.claim(KEY, noFields, 5000);
    await expect.poll(() => other.stats.waits).toBe(1);
    await one.behind.put(one.entry(), turn);
    expect((await claimed).entry).toBeDefined();
    const second = await one.behind.claim("second", noFields, 1000);
    await one.behind.put(one.entry({ key: "second" }), second.turn);
    await one.behind.put(one.entry({ key: "third" }));
    await one.behind.close();
    expect(one.stats.writes.dropped).toBe(1);
    expect(await other.behind.claim("second", noFields, 0)).toEqual({ entry: undefined, turn: undefined });
  });
});
