import { describe, expect, it } from "vitest";
import type { Purge } from "../../../../plugins/cache/level.ts";
import { PurgeTable } from "../../../../plugins/cache/purges.ts";
import { PurgeLog } from "../../../../plugins/cache/store/purge-log.ts";
import { entryOf } from "../../../support/cache-entries.ts";
import { FakeClock, FakeLog } from "../../../support/harness.ts";
import { startRedis } from "../../../support/redis.ts";
import { useRedis } from "../../../support/use-redis.ts";
import { openStore, redisAt } from "../../../support/stores.ts";

const KEY = "sluice:cache:purges";
const tag = (value: string): Purge => ({ kind: "tag", value, soft: false });

describe("the purges of all gateways", () => {
  const redis = useRedis();

  /** A gateway with a cache. Reads the log when it is told to, or of something published, unless it is to poll. */
  async function join({ readEveryMs = 3_600_000, mostRecords = 100, at = redis.server, scope = "one" } = {}) {
    const { store } = redis.using.use(await openStore(redisAt(at.url)));
    const [clock, log, table] = [new FakeClock(), new FakeLog(), new PurgeTable()];
    const purges = new PurgeLog(store, { clock, log, readEveryMs, mostRecords });
    const leave = purges.attach(table, scope);
    redis.using.defer(leave);
    await purges.settled;
    /** What becomes of an entry that was asked for now, or when a version was known. */
    const judge =
      (name: string, version = table.version) =>
      () =>
        table.stateOf(entryOf({ tags: [name], version }));
    return { purges, table, judge, clock, log, store, leave };
  }

  it("are known to all at once, and later to who was not there", async () => {
    const [one, other] = [await join(), await join()];
    const earlier = other.judge("a");
    const untouched = other.judge("b");
    expect(await one.purges.append(tag("a"))).toBe(true);
    expect(one.judge("a", 0)()).toBe("gone");
    await expect.poll(earlier).toBe("gone");
    expect([untouched(), other.judge("a")()]).toEqual(["live", "live"]);
    const late = await join();
    expect(late.table.version).toBe(one.table.version);
    expect(late.judge("a", late.purges.floor)()).toBe("gone");
    expect(late.judge("b", late.purges.floor)()).toBe("live");
  });

  it("concern one cache only where they name it", async () => {
    const [one, other] = [await join({ scope: "one" }), await join({ scope: "other" })];
    const [mine, theirs] = [one.judge("a"), other.judge("a")];
    await other.purges.append(tag("a"), "one");
    await expect.poll(mine).toBe("gone");
    expect([one.table.version, theirs()]).toEqual([other.table.version, "live"]);
    await other.purges.append(tag("a"));
    expect(theirs()).toBe("gone");
  });

  it("are all there with what they say: kind, value, and whether they are soft", async () => {
    const [one, other] = [await join(), await join()];
    const entry = entryOf({ version: other.table.version });
    await one.purges.append({ kind: "url", value: entry.url, soft: true });
    await other.purges.read();
    expect(other.table.stateOf(entry)).toBe("stale");
    await one.purges.append({ kind: "prefix", value: "example.com/", soft: false });
    await other.purges.read();
    expect(other.table.stateOf(entry)).toBe("gone");
  });

  it("are known a reading later to who did not hear of them", async () => {
    const deaf = await join({ readEveryMs: 20 });
    await redis.server.ask("client", "kill", "type", "pubsub");
    const earlier = deaf.judge("a");
    const number = String(Date.now() + 1000);
    await redis.server.ask("rpush", KEY, `[${number},"tag","a",false,"id"]`);
    await expect.poll(earlier).toBe("gone");
    expect(deaf.table.version).toBe(Number(number));
  });

  it("are written down once, however many threads are told", async () => {
    const gateways = [await join(), await join(), await join()];
    await Promise.all(gateways.map(({ purges }) => purges.append(tag("a"), undefined, "same")));
    expect(await redis.server.ask("llen", KEY)).toBe("2");
  });

  it("hold here while Redis is away, and everywhere when it is back", async () => {
    const lost = redis.using.use(await startRedis());
    const [one, other] = [
      await join({ at: lost, readEveryMs: 20 }),
      await join({ at: lost, readEveryMs: 20 }),
    ];
    const earlier = [one.judge("a"), other.judge("a")] as const;
    lost.freeze();
    const written = one.purges.append(tag("a"));
    await lost.kill();
    expect(await written).toBe(false);
    expect([earlier[0](), earlier[1]()]).toEqual(["gone", "live"]);
    await lost.start();
    const after = other.judge("a");
    await expect.poll(earlier[1]).not.toBe("live");
    await expect.poll(async () => await lost.ask("lrange", KEY, "-1", "-1")).toContain('"tag","a",false');
    await expect.poll(() => [after(), earlier[1]()]).toEqual(["gone", "gone"]);
  });

  it("are not trusted before the first reading, nor when the last is too long ago", async () => {
    const { store } = redis.using.use(await openStore(redisAt("redis://127.0.0.1:1")));
    const clock = new FakeClock();
    const never = new PurgeLog(store, { clock, log: new FakeLog() });
    redis.using.defer(never.attach(new PurgeTable(), "other"));
    await never.settled;
    expect([never.isTrusted, never.floor]).toEqual([false, Number.POSITIVE_INFINITY]);
    const one = await join();
    expect(one.purges.isTrusted).toBe(true);
    one.clock.advance(10_001);
    expect(one.purges.isTrusted).toBe(false);
    await one.purges.read();
    expect(one.purges.isTrusted).toBe(true);
  });

  it("make all stale, with a new floor, when Redis has lost them", async () => {
    const [one, other] = [await join(), await join()];
    await one.purges.append(tag("a"));
    await other.purges.read();
    const earlier = other.judge("b");
    const { floor } = other.purges;
    await redis.server.ask("flushall");
    await one.purges.read();
    await other.purges.read();
    expect(earlier()).toBe("stale");
    expect(other.judge("b")()).toBe("live");
    expect(other.purges.floor).toBeGreaterThan(floor);
    expect(other.purges.floor).toBe(one.purges.floor);
    expect(other.log.lines).toMatchObject([{ level: "warn" }]);
    expect(one.table.version).toBe(other.table.version);
  });

  it("make all stale for everybody when a replica that has taken over lacks the last one", async () => {
    const [one, other] = [await join(), await join()];
    await one.purges.append(tag("a"));
    await expect.poll(() => other.table.version).toBe(one.table.version);
    const earlier = [one.judge("b"), other.judge("b")];
    await redis.server.ask("rpop", KEY);
    await one.purges.read();
    await other.purges.read();
    expect(earlier.map((judge) => judge())).toEqual(["stale", "stale"]);
    expect(other.purges.floor).toBe(one.purges.floor);
  });

  it("are kept up to a number: beyond, what is older is stale for who was away, and nobody trusts it", async () => {
    const [one, away] = [await join({ mostRecords: 5 }), await join()];
    const earlier = away.judge("none");
    away.leave();
    for (let i = 0; i < 9; i++) await one.purges.append(tag(`t${i}`));
    expect(await redis.server.ask("llen", KEY)).toBe("6");
    const back = away.purges.attach(away.table, "away");
    redis.using.defer(back);
    await away.purges.settled;
    expect(earlier()).toBe("stale");
    expect(away.judge("t4", away.purges.floor)()).toBe("gone");
    expect(away.judge("none", away.purges.floor)()).toBe("live");
    expect(one.judge("none", away.purges.floor)()).toBe("live");
  });

  it("are read in parts when there are many new ones", async () => {
    const [one, other] = [await join({ mostRecords: 1000 }), await join()];
    const { version } = other.table;
    other.leave();
    await Promise.all(Array.from({ length: 300 }, (_, i) => one.purges.append(tag(`t${i}`))));
    redis.using.defer(other.purges.attach(other.table, "other"));
    await other.purges.settled;
    for (const i of [0, 150, 299]) expect(other.judge(`t${i}`, version)()).toBe("gone");
    expect(other.judge("none", version)()).toBe("live");
  });

  it("make what is older stale also for who comes while they are being read", async () => {
    const one = await join();
    const late = new PurgeTable(5);
    const reading = one.purges.read();
    redis.using.defer(one.purges.attach(late, "other"));
    await reading;
    expect(late.stateOf(entryOf({ version: 5 }))).toBe("stale");
    expect(late.version).toBe(one.table.version);
  });

  it("take what they do not understand for a soft purge of everything", async () => {
    const one = await join();
    const earlier = one.judge("a");
    await redis.server.ask("rpush", KEY, `[${Date.now() + 5},"language","de",false,"id"]`);
    await one.purges.read();
    expect(earlier()).toBe("stale");
  });

  it("begin anew where their key holds something else", async () => {
    const one = await join();
    await redis.server.ask("set", KEY, "text");
    await one.purges.read();
    expect(await redis.server.ask("llen", KEY)).toBe("1");
    await redis.server.ask("rpush", KEY, "garbage");
    await one.purges.append(tag("a"));
    expect(one.judge("a", one.purges.floor)()).toBe("gone");
  });
});
