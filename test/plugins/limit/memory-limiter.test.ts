/** What limits in memory do beyond what all limiters promise. */
import { describe, expect, it, vi } from "vitest";
import { ConfigError } from "../../../core/errors.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import type { Plan, Rule } from "../../../plugins/limit/limiter.ts";
import { createMemoryLimiter } from "../../../plugins/limit/memory-limiter.ts";
import { FakeHost } from "../../support/harness.ts";
import { ALGORITHMS } from "../../support/limiter-traces.ts";

const DAY_MS = 86_400_000;

const bucket: Rule = { name: "rule", algorithm: "token-bucket", count: 10, windowMs: 1000, burst: 10 };
const planOf = (rule: Partial<Rule> = {}, more: Partial<Plan> = {}): Plan => ({
  rules: [{ ...bucket, ...rule }],
  ban: undefined,
  countRejected: false,
  ...more,
});

/** Hosts of several threads of a gateway. */
function hostsOf(threads: number): FakeHost[] {
  const handle = createSharedMemory(threads, 0, 0);
  return Array.from({ length: threads }, (_, thread) => {
    const host = new FakeHost();
    host.clock.time = 0;
    host.shared = new SharedMemory(handle, thread);
    return host;
  });
}

/** Takes until nothing is left; gives how many units there were. */
function drain(limiter: ReturnType<typeof createMemoryLimiter>, key: string): number {
  for (let count = 0; ; count++) if (limiter.take(key, 1).outcome !== "allowed") return count;
}

describe("limits in memory", () => {
  it("count windows from 00:00 UTC on, whatever the monotonic clock says", () => {
    const host = new FakeHost();
    host.shared = new SharedMemory(createSharedMemory(1, 5000, Date.parse("2026-07-01T23:59:58Z")), 0);
    host.clock.time = 5000;
    const limiter = createMemoryLimiter("s", planOf({ algorithm: "fixed-window", windowMs: DAY_MS }), host);
    expect(limiter.take("k", 10)).toMatchObject({ remaining: 0, resetMs: 2000 });
    host.clock.advance(1999);
    expect(limiter.take("k", 1)).toMatchObject({ outcome: "limited", retryAfterMs: 1 });
    host.clock.advance(1);
    expect(limiter.take("k", 1)).toMatchObject({ outcome: "allowed", resetMs: DAY_MS });
  });

  it("are other counts for each scope, and the same for limiters of one", () => {
    const host = new FakeHost();
    const [a, b, again] = ["a", "b", "a"].map((scope) => createMemoryLimiter(scope, planOf(), host));
    expect([drain(a!, "k"), drain(again!, "k"), drain(b!, "k")]).toEqual([10, 0, 10]);
  });

  it("keep what was counted when rules are put before a rule, or after it", () => {
    const host = new FakeHost();
    const day: Rule = { ...bucket, name: "day", windowMs: DAY_MS };
    drain(createMemoryLimiter("s", { ...planOf(), rules: [day] }, host), "k");
    const both = createMemoryLimiter("s", { ...planOf(), rules: [bucket, day] }, host);
    expect(both.read("k").rules).toMatchObject([{ remaining: 10 }, { remaining: 0 }]);
  });

  it("move what was consumed to and fro when the rate of a bucket changes again and again", () => {
    const host = new FakeHost();
    const slow = (count: number) => planOf({ count, burst: 100, windowMs: DAY_MS });
    for (let i = 0; i < 30; i++) {
      const limiter = createMemoryLimiter("s", slow(1 + (i % 20)), host);
      expect(limiter.take("k", 1)).toMatchObject({ remaining: 99 - i });
      expect(limiter.read("k").rules).toMatchObject([{ remaining: 99 - i }]);
    }
    createMemoryLimiter("s", slow(1), host).reset("k");
    expect(createMemoryLimiter("s", slow(7), host).read("k").rules).toMatchObject([{ remaining: 100 }]);
  });

  it("are reset however many tiers there are", () => {
    const host = new FakeHost();
    const tiers = Array.from({ length: 20 }, (_, i) =>
      createMemoryLimiter("s", planOf({ count: 1 + i, burst: 20, windowMs: DAY_MS }), host),
    );
    tiers[0]!.take("k", 5);
    for (const limiter of tiers) limiter.reset("k");
    expect(tiers[0]!.read("k").rules).toMatchObject([{ remaining: 20 }]);
  });

  it.each(ALGORITHMS)("forget what was long ago, however numbers wrap around: %s", (algorithm) => {
    for (const windowMs of [1, 1000, 20 * DAY_MS]) {
      const host = new FakeHost();
      const limiter = createMemoryLimiter("s", planOf({ algorithm, windowMs }), host);
      // Numbers of windows have 16 bits, times 32; a minute is left for clocks that are ahead.
      const waits = [2 ** 16 - 1, 2 ** 16, 2 ** 16 + 1].map((windows) => windows * windowMs);
      for (const ms of [...waits, 2 ** 31, 2 ** 32 - 61_000, 2 ** 32 + 1000]) {
        if (ms <= 2 * windowMs || ms > 365 * DAY_MS) continue;
        host.clock.advance(ms);
        expect(drain(limiter, "k"), `${windowMs} ms, after ${ms}`).toBe(10);
      }
    }
  });

  describe.each(["token-bucket", "hybrid"] as const)("that threads count at two rates: %s", (algorithm) => {
    const planAt = (count: number) => planOf({ algorithm, count, burst: count, windowMs: DAY_MS });
    const later = (hosts: FakeHost[]): FakeHost[] => {
      for (const { clock } of hosts) clock.advance(DAY_MS);
      return hosts;
    };
    /** What is let in by the two of them, who ask in turn. */
    const drainBoth = (limiters: readonly ReturnType<typeof createMemoryLimiter>[]): number => {
      let count = 0;
      for (let i = 0; i < 100; i++) if (limiters[i % 2]!.take("k", 1).outcome === "allowed") count++;
      return count;
    };

    it.each([
      [10, 20],
      [20, 10],
    ])("gather what they take in the same moment: %d and %d", (here, there) => {
      const [host, otherHost] = later(hostsOf(2));
      for (let nth = 1; nth <= 3; nth++) {
        const limiter = createMemoryLimiter(`s ${nth}`, planAt(here), host!);
        createMemoryLimiter(`s ${nth}`, planAt(there), host!);
        const other = createMemoryLimiter(`s ${nth}`, planAt(there), otherHost!);
        createMemoryLimiter(`s ${nth}`, planAt(here), otherHost!);
        const { limits } = host!.shared;
        let admitted = 0;
        let looks = 0;
        // The other thread's turn comes after this one has looked so often.
        const find = limits.find.bind(limits);
        limits.find = (...args) => {
          const found = find(...args);
          if (++looks === nth && other.take("k", 1).outcome === "allowed") admitted++;
          return found;
        };
        if (limiter.take("k", 1).outcome === "allowed") admitted++;
        limits.find = find;
        admitted += drainBoth([limiter, other]);
        expect(admitted).toBe(20);
      }
    });

    it.each([1, 2, 3, 4, 5])("lose nothing while they move it: step %d", (nth) => {
      const [host, otherHost] = later(hostsOf(2));
      const limiter = createMemoryLimiter("s", planAt(10), host!);
      createMemoryLimiter("s", planAt(20), host!);
      const other = createMemoryLimiter("s", planAt(20), otherHost!);
      createMemoryLimiter("s", planAt(10), otherHost!);
      expect(drain(other, "k")).toBe(20);
      let steps = 0;
      let admitted = 0;
      const { compareExchange } = Atomics;
      using _spy = vi.spyOn(Atomics, "compareExchange").mockImplementation(((...args: never[]) => {
        const before = (compareExchange as (...all: never[]) => unknown)(...args);
        if (++steps === nth && other.take("k", 1).outcome === "allowed") admitted++;
        return before;
      }) as typeof compareExchange);
      if (limiter.take("k", 1).outcome === "allowed") admitted++;
      expect(steps).toBeGreaterThanOrEqual(nth);
      // A thread that asks just then may find what it looks at moved away, once.
      expect(admitted + drainBoth([limiter, other])).toBeLessThanOrEqual(1);
    });
  });

  it("know how long the last window lasts before its number begins anew", () => {
    const [host] = hostsOf(1);
    host!.clock.time = 65_535_250;
    for (const algorithm of ["sliding-window-counter", "hybrid"] as const) {
      const limiter = createMemoryLimiter("s", planOf({ algorithm }), host!);
      expect(limiter.take("k", 1), algorithm).toMatchObject({ remaining: 9, resetMs: 1750 });
    }
  });

  it("record what is charged beyond the limit, and count it as long as what was taken", () => {
    for (const algorithm of ALGORITHMS) {
      const host = new FakeHost();
      host.clock.time = 1_700_000_000_000;
      const limiter = createMemoryLimiter("s", planOf({ algorithm }), host);
      const decision = limiter.take("k", 10);
      limiter.settle("k", decision, 5);
      expect(limiter.take("k", 0)).toMatchObject({ outcome: "limited", remaining: 0 });
      limiter.settle("k", decision, -6);
      expect(limiter.read("k").rules, algorithm).toMatchObject([{ remaining: 1 }]);
    }
  });
});

describe("rules that cannot be counted exactly", () => {
  it.each<[string, Partial<Rule>]>([
    ["a rate that a millisecond cannot be a whole number of parts of", { count: 999_983, windowMs: 1000 }],
    ["a bucket that would take ages to fill", { count: 1, windowMs: 365 * DAY_MS, burst: 1_000_000 }],
    ["a window of too many", { algorithm: "fixed-window", count: 16_777_216 }],
    ["a sliding window of too many", { algorithm: "sliding-window-counter", count: 16_777_216 }],
    ["a hybrid of too many", { algorithm: "hybrid", count: 20_000_000 }],
    ["a log of too many", { algorithm: "sliding-window-log", count: 10_001 }],
    ["a log that is too long", { algorithm: "sliding-window-log", windowMs: 21 * DAY_MS }],
  ])("are refused: %s", (_, rule) => {
    const build = () => createMemoryLimiter("s", planOf(rule), new FakeHost());
    expect(build).toThrow(ConfigError);
    expect(build).toThrow(/rule "rule": /);
  });

  it("are refused with all problems at once", () => {
    const ban = { after: 3_000_000, withinMs: 1000, forMs: 1000 };
    const build = () => createMemoryLimiter("s", planOf({ count: 999_983 }, { ban }), new FakeHost());
    expect(build).toThrow(
      expect.objectContaining({
        problems: [
          expect.objectContaining({ code: "CONFIG_VALUE", pointer: "/rate" }),
          expect.objectContaining({ code: "CONFIG_VALUE", pointer: "/ban/after" }),
        ],
      }),
    );
  });
});

describe("bans in memory", () => {
  const plan = planOf({}, { ban: { after: 3, withinMs: 1000, forMs: 60_000 } });

  it("hold on all threads, for all plans of the scope, and over a reload; lifting them too", () => {
    const [one, two] = hostsOf(2);
    const here = createMemoryLimiter("s", plan, one!);
    const there = createMemoryLimiter("s", planOf({ algorithm: "fixed-window", count: 5 }), two!);
    drain(here, "k");
    here.take("k", 1);
    expect(there.take("k", 1)).toMatchObject({ outcome: "allowed" });
    here.take("k", 1);
    expect(there.take("k", 1)).toMatchObject({ outcome: "banned", retryAfterMs: 60_000, cost: 0 });
    expect(createMemoryLimiter("s", planOf(), one!).read("k").bannedForMs).toBe(60_000);
    there.ban("k", 0);
    expect([here.take("k", 1).outcome, here.bans(), there.bans()]).toEqual(["limited", [], []]);
    there.ban("k", 500);
    expect(here.take("k", 1)).toMatchObject({ outcome: "banned", retryAfterMs: 500 });
  });

  it("begin once, though two threads refuse at the same time", () => {
    const [one, two] = hostsOf(2);
    const [here, there] = [one!, two!].map((host) => createMemoryLimiter("s", plan, host));
    drain(here!, "k");
    here!.take("k", 1);
    const begun: boolean[] = [];
    const { compareExchange } = Atomics;
    using spy = vi.spyOn(Atomics, "compareExchange");
    const { longs } = one!.shared.limits;
    spy.mockImplementation(((words: Int32Array, ...args: [number, number, number]) => {
      if ((words as unknown) === longs && begun.length === 0) {
        begun.push(false);
        begun.push(there!.take("k", 1).beginsBan);
      }
      return compareExchange(words, ...args);
    }) as typeof compareExchange);
    begun.push(here!.take("k", 1).beginsBan);
    expect(begun.filter((isBegun) => isBegun)).toHaveLength(1);
    expect(there!.bans()).toEqual([{ key: "k", forMs: 60_000 }]);
  });

  it("are listed with the most time left first, some hundreds of them, and not once they are over", () => {
    const [host] = hostsOf(1);
    const limiter = createMemoryLimiter("s", plan, host!);
    for (let i = 1; i <= 1000; i++) limiter.ban(`k ${i}`, i * 1000);
    const bans = limiter.bans();
    expect(bans.length).toBeGreaterThan(300);
    expect(bans.length).toBeLessThan(1000);
    expect(bans[0]).toEqual({ key: "k 1000", forMs: 1_000_000 });
    expect(bans.map(({ forMs }) => forMs)).toEqual(bans.map(({ forMs }) => forMs).toSorted((a, b) => b - a));
    host!.clock.advance(999_500);
    expect(createMemoryLimiter("s", plan, host!).bans()).toEqual([{ key: "k 1000", forMs: 500 }]);
    host!.clock.advance(500);
    expect(limiter.bans()).toEqual([]);
  });

  it("cost keys that nobody refuses no cell", () => {
    const [host] = hostsOf(1);
    const limiter = createMemoryLimiter("s", plan, host!);
    limiter.ban("bad", 60_000);
    const { limits } = host!.shared as SharedMemory;
    const spy = { located: 0 };
    const { locate } = limits;
    limits.locate = (...args) => {
      spy.located++;
      return locate.apply(limits, args);
    };
    for (let i = 0; i < 10; i++) limiter.take(`k ${i}`, 1);
    expect(spy.located).toBe(10);
  });
});

describe("many keys", () => {
  it("find no room at some point: then each thread allows its share, and says so once", () => {
    const hosts = hostsOf(2);
    for (const { shared } of hosts) shared.limits.locate = shared.logs.locate = () => -1;
    for (const algorithm of ALGORITHMS) {
      const plan = planOf({ algorithm, count: 5, burst: 5 });
      const limiters = hosts.map((host) => createMemoryLimiter("s", plan, host));
      expect(limiters.map((limiter) => drain(limiter, "k"))).toEqual([3, 2]);
      expect(limiters.map((limiter) => drain(limiter, "other"))).toEqual([3, 2]);
      expect(createMemoryLimiter("s", plan, hosts[0]!).take("k", 1).outcome).toBe("limited");
      limiters[0]!.reset("k");
      expect(drain(limiters[0]!, "k")).toBe(3);
    }
    expect(hosts.map(({ log }) => log.lines.map(({ level }) => level))).toEqual([["warn"], ["warn"]]);
  });

  it("of which some have room for a part of their log are let in as far as it goes", () => {
    const [host] = hostsOf(1);
    const { logs } = host!.shared as SharedMemory;
    const limiter = createMemoryLimiter("s", planOf({ algorithm: "sliding-window-log", count: 100 }), host!);
    expect(limiter.take("k", 1)).toMatchObject({ outcome: "allowed" });
    const { locate } = logs;
    logs.locate = (key, ...rest) => (logs.find(key, 0) === -1 ? -1 : locate.call(logs, key, ...rest));
    const admitted = 1 + drain(limiter, "k");
    expect(admitted).toBeGreaterThan(50);
    expect(admitted).toBeLessThan(logs.cellWords);
    expect(limiter.take("k", 1)).toMatchObject({ outcome: "limited", retryAfterMs: 1 });
    logs.locate = locate;
    expect(drain(limiter, "k")).toBe(100 - admitted);
  });

  it("count apart from those that begin with them, whatever characters they have", () => {
    const [host] = hostsOf(1);
    const plan = planOf({ algorithm: "sliding-window-log", count: 200 });
    const limiter = createMemoryLimiter("s", plan, host!);
    expect(drain(limiter, "k")).toBe(200);
    for (const key of ["k\0", "k\x001", "k\x002", "\x001k", " 1\0k"]) expect(drain(limiter, key)).toBe(200);
    expect(limiter.take("k", 1).outcome).toBe("limited");
  });

  it("that strangers make up take bounded memory, and none once their time is over", () => {
    const [host] = hostsOf(1);
    const { limits } = host!.shared as SharedMemory;
    const limiter = createMemoryLimiter("s", planOf(), host!);
    const places = 2 ** 21;
    let regular = 0;
    for (let i = 0; i < 400_000; i++) {
      // 20,000 new keys a second, 100 milliseconds of a cell's time each; one that comes every 200 ms.
      host!.clock.time = i / 20;
      limiter.take(`stranger ${i}`, 1);
      if (i % 4000 === 0 && limiter.take("regular", 1).outcome === "allowed") regular++;
    }
    expect([limits.full, regular]).toEqual([0, 100]);
    expect(limits.countLive(host!.clock.time)).toBeLessThan(places / 10);
    host!.clock.advance(10_000);
    expect(limits.countLive(host!.clock.time)).toBe(0);
  });
});
