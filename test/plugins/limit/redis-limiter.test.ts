/** What is special of counting in Redis; that it counts as it should is shown for all limiters together. */
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { StoreConfig } from "../../../core/config/checked.ts";
import type { Algorithm, Decision, Limiter, Plan, Rule } from "../../../plugins/limit/limiter.ts";
import { createRedisLimiter } from "../../../plugins/limit/redis-limiter.ts";
import { awayFromMidnight } from "../../support/midnight.ts";
import { type RedisServer, startRedis, startRedisCluster } from "../../support/redis.ts";
import { clusterOf, type OpenedStore, openStore, redisAt } from "../../support/stores.ts";

const ALGORITHMS: readonly Algorithm[] = [
  "token-bucket",
  "fixed-window",
  "sliding-window-log",
  "sliding-window-counter",
  "hybrid",
];

const DAY_MS = 86_400_000;

const ruleOf = (algorithm: Algorithm, more: Partial<Rule> = {}): Rule => ({
  name: "rule",
  algorithm,
  count: 100,
  windowMs: DAY_MS,
  burst: more.count ?? 100,
  ...more,
});
const planOf = (rule: Rule | readonly Rule[], more: Partial<Plan> = {}): Plan => ({
  rules: Array.isArray(rule) ? rule : [rule as Rule],
  ban: undefined,
  countRejected: false,
  ...more,
});

beforeAll(awayFromMidnight);

let scopes = 0;
const newScope = (): string => `route/limit-${scopes++}`;
const withTime = { timeoutMs: 30_000 };

async function takeMany(limiters: readonly Limiter[], times: number): Promise<Decision[]> {
  return Promise.all(
    Array.from({ length: times }, async (_, i) => limiters[i % limiters.length]!.take("key", 1)),
  );
}
const allowedOf = (decisions: readonly Decision[]): number =>
  decisions.filter(({ outcome }) => outcome === "allowed").length;

describe.each(["redis", "redis-cluster"])("counting in a store of type %s", (type) => {
  const using = new AsyncDisposableStack();
  let config: StoreConfig;
  let opened: OpenedStore;
  beforeAll(async () => {
    if (type === "redis") config = redisAt(using.use(await startRedis()).url);
    else config = clusterOf(using.use(await startRedisCluster()).nodes);
    opened = using.use(await openStore(config));
  });
  afterAll(() => using.disposeAsync());

  it.each(ALGORITHMS)("lets two gateways admit no more than the limit together: %s", async (algorithm) => {
    const other = using.use(await openStore(config));
    const [scope, plan] = [newScope(), planOf(ruleOf(algorithm, { count: 500 }))];
    const limiters = [opened.store, other.store].map((store) =>
      createRedisLimiter(scope, plan, store, withTime),
    );
    expect(allowedOf(await takeMany(limiters, 2000))).toBe(500);
  });

  it("counts in all of several rules or in none", async () => {
    const rules = [ruleOf("hybrid", { count: 10 }), ruleOf("sliding-window-log", { count: 3, name: "few" })];
    const limiter = createRedisLimiter(newScope(), planOf(rules), opened.store, withTime);
    const decisions = await takeMany([limiter], 6);
    expect(decisions.map(({ outcome }) => outcome)).toEqual([
      ...Array<string>(3).fill("allowed"),
      ...Array<string>(3).fill("limited"),
    ]);
    expect(decisions[5]).toMatchObject({ rule: 1, remaining: 0 });
    expect((await limiter.read("key")).rules.map(({ remaining }) => remaining)).toEqual([7, 0]);
  });

  it.each(["", "{", "}", "}{", "a{b}c", "#", "|", "ü🚀\u0000\r\n", "a b", "x".repeat(5000), "\ud800"])(
    "tells the key %j from others",
    async (key) => {
      const plan = planOf([ruleOf("hybrid"), ruleOf("sliding-window-log")]);
      const scope = newScope();
      const limiter = createRedisLimiter(scope, plan, opened.store, withTime);
      await Promise.all([limiter.take(key, 10), limiter.take(`${key}b`, 20)]);
      await createRedisLimiter(`${scope}}{`, plan, opened.store, withTime).take(key, 30);
      expect((await limiter.read(key)).rules).toMatchObject([{ remaining: 90 }, { remaining: 90 }]);
      await limiter.ban(key, 60_000);
      expect(await limiter.bans()).toMatchObject([{ key: key.toWellFormed() }]);
      expect(await limiter.take(`${key}b`, 1)).toMatchObject({ outcome: "allowed" });
      await limiter.reset(key);
      expect(await limiter.bans()).toEqual([]);
      expect((await limiter.read(key)).rules).toMatchObject([{ remaining: 100 }, { remaining: 100 }]);
    },
  );
});

describe("counting in Redis", () => {
  const using = new AsyncDisposableStack();
  let server: RedisServer;
  let opened: OpenedStore;
  beforeAll(async () => {
    server = using.use(await startRedis());
    opened = using.use(await openStore(redisAt(server.url)));
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  afterAll(() => using.disposeAsync());

  const create = (plan: Plan, scope = newScope()): Limiter =>
    createRedisLimiter(scope, plan, opened.store, withTime);
  const keysOf = async (scope: string): Promise<string[]> =>
    (await server.ask("keys", `*${scope}*`)).split("\n").filter(Boolean);
  const callsOf = async (): Promise<number> =>
    Number(
      /sluice_store_calls_total\{store="main",result="ok"\} (\d+)/.exec(
        (await opened.metrics.render()).text,
      )![1],
    );

  it.each(ALGORITHMS)(
    "keeps the consumption when the rate changes, not when the window does: %s",
    async (algorithm) => {
      const scope = newScope();
      await create(planOf(ruleOf(algorithm)), scope).take("key", 50);
      const left = async (more: Partial<Rule>): Promise<number> =>
        (await create(planOf(ruleOf(algorithm, more)), scope).read("key")).rules[0]!.remaining;
      expect(await left({ count: 200 })).toBe(150);
      expect(await left({ count: 51 })).toBe(1);
      expect(await left({ count: 7 })).toBe(0);
      expect(await left({ count: 100, windowMs: DAY_MS / 2 })).toBe(100);
    },
  );

  it.each(ALGORITHMS)("keeps nothing for longer than it matters: %s", async (algorithm) => {
    const scope = newScope();
    const rule = ruleOf(algorithm);
    const ban = { after: 2, withinMs: 30_000, forMs: 40_000 };
    const limiter = create(planOf(rule, { ban }), scope);
    await limiter.take("key", 100);
    await limiter.take("key", 100);
    const before = await keysOf(scope);
    await limiter.take("key", 100);
    await limiter.bans(); // asked after the list has been written to
    const keys = new Set([...before, ...(await keysOf(scope))]);
    expect(keys.size).toBe(algorithm === "hybrid" ? 5 : 4);
    for (const key of keys) {
      const ttlMs = Number(await server.ask("pttl", key));
      expect([key, ttlMs === -2 || (ttlMs > 0 && ttlMs <= 2 * DAY_MS)]).toEqual([key, true]);
    }
    await limiter.reset("key");
    expect(await keysOf(scope)).toEqual([]);
  });

  it("keeps no key for a bucket that is full again", async () => {
    const scope = newScope();
    const limiter = create(planOf(ruleOf("token-bucket")), scope);
    const decision = await limiter.take("key", 5);
    expect(await keysOf(scope)).toHaveLength(1);
    await limiter.settle("key", decision, -5);
    expect(await keysOf(scope)).toEqual([]);
  });

  it("goes by Redis's clock, whatever a gateway's says", async () => {
    const limiter = create(planOf(ruleOf("fixed-window")));
    const { at } = await limiter.take("key", 1);
    vi.spyOn(Date, "now").mockReturnValue(0);
    vi.spyOn(performance, "now").mockReturnValue(0);
    const second = await limiter.take("key", 1);
    expect(second.remaining).toBe(98);
    expect(second.at - at).toBeLessThan(5000);
    expect(second.resetMs).toBe(DAY_MS - (second.at % DAY_MS));
  });

  it("goes on when Redis forgets the scripts", async () => {
    const limiter = create(planOf(ruleOf("token-bucket")));
    await limiter.take("key", 10);
    await server.ask("script", "flush");
    expect((await limiter.take("key", 10)).remaining).toBe(80);
  });

  it.each(ALGORITHMS)("begins anew where its key holds something else: %s", async (algorithm) => {
    const scope = newScope();
    const limiter = create(planOf(ruleOf(algorithm)), scope);
    await limiter.take("key", 10);
    for (const key of await keysOf(scope)) {
      await server.ask("del", key);
      if (algorithm === "sliding-window-log") await server.ask("set", key, "text");
      else await server.ask("lpush", key, "text");
    }
    expect(await limiter.take("key", 1)).toMatchObject({ outcome: "allowed", remaining: 99 });
    expect(await limiter.take("key", 1)).toMatchObject({ outcome: "allowed", remaining: 98 });
  });

  it("goes on with a log of which entries are none", async () => {
    const scope = newScope();
    const limiter = create(planOf(ruleOf("sliding-window-log")), scope);
    await limiter.take("key", 10);
    const [key = ""] = await keysOf(scope);
    await server.ask("rpush", key, "text");
    expect(await limiter.take("key", 1)).toMatchObject({ outcome: "allowed", remaining: 89 });
    await server.ask("lset", key, "1", "text");
    expect(await limiter.take("key", 1)).toMatchObject({ outcome: "allowed", remaining: 88 });
  });

  it("keeps an entry of a log for each millisecond, and none of what was given back", async () => {
    const scope = newScope();
    let now = 1_700_000_000_000;
    const plan = planOf(ruleOf("sliding-window-log", { count: 1000, windowMs: 1000 }));
    const limiter = createRedisLimiter(scope, plan, opened.store, { ...withTime, now: () => now });
    const taken: Decision[] = [];
    for (; taken.length < 250; now += (taken.length + 1) % 2) taken.push(await limiter.take("key", 3));
    const [key = ""] = await keysOf(scope);
    expect(await server.ask("llen", key)).toBe("126");
    expect((await limiter.read("key")).rules).toEqual([{ remaining: 250, resetMs: 999 }]);
    for (const decision of taken.slice(100)) await limiter.settle("key", decision, -3);
    expect(await server.ask("llen", key)).toBe("51");
    expect((await limiter.read("key")).rules).toEqual([{ remaining: 700, resetMs: 924 }]);
    now = taken[99]!.at + 999;
    expect((await limiter.take("key", 998)).retryAfterMs).toBe(1);
    now++;
    expect((await limiter.take("key", 998)).outcome).toBe("allowed");
    expect(await server.ask("llen", key)).toBe("2");
  });

  it("does not ask Redis about a key that is known to be banned, for a second at most", async () => {
    let now = 1_700_000_000_000;
    const [scope, plan] = [newScope(), planOf(ruleOf("fixed-window"))];
    const [one, other] = [0, 1].map(() =>
      createRedisLimiter(scope, plan, opened.store, { ...withTime, now: () => now }),
    );
    await other!.ban("key", 10_000);
    const banned = { outcome: "banned", retryAfterMs: 10_000, cost: 0 };
    expect(await one!.take("key", 1)).toMatchObject(banned);
    const calls = await callsOf();
    now += 999;
    expect(await one!.take("key", 1)).toMatchObject({ ...banned, retryAfterMs: 9001, at: now });
    expect(await callsOf()).toBe(calls);
    await other!.ban("key", 0);
    expect(await one!.take("key", 1)).toMatchObject({ ...banned, retryAfterMs: 9001 });
    now += 1;
    expect(await one!.take("key", 1)).toMatchObject({ outcome: "allowed" });
    await one!.ban("key", 10_000);
    expect(await one!.take("key", 1)).toMatchObject(banned);
  });

  it("lists bans of all gateways, those with most time left first, and not for ever", async () => {
    let now = 1_700_000_000_000;
    const scope = newScope();
    const plan = planOf(ruleOf("fixed-window", { count: 1 }), { ban: { after: 1, withinMs: 1, forMs: 500 } });
    const [one, other] = [0, 1].map(() =>
      createRedisLimiter(scope, plan, opened.store, { ...withTime, now: () => now }),
    );
    for (let i = 0; i < 2; i++) await one!.take("refused", 1);
    await other!.ban("long", 2000);
    await other!.ban("short", 100);
    expect(await one!.bans()).toEqual([
      { key: "long", forMs: 2000 },
      { key: "refused", forMs: 500 },
      { key: "short", forMs: 100 },
    ]);
    now += 100;
    expect((await other!.bans()).map(({ key }) => key)).toEqual(["long", "refused"]);
    await one!.ban("long", 0);
    await other!.reset("refused");
    expect(await other!.bans()).toEqual([]);
    for (let i = 0; i < 600; i++) await one!.ban(`key-${i}`, 1000 + i);
    const bans = await other!.bans();
    expect(bans).toHaveLength(500);
    expect(bans[0]).toEqual({ key: "key-599", forMs: 1599 });
  });

  it("says nothing of keys when it fails", async () => {
    const away = using.use(await startRedis());
    const lost = using.use(await openStore(redisAt(away.url)));
    const limiter = createRedisLimiter("hunter1", planOf(ruleOf("hybrid")), lost.store, withTime);
    await limiter.take("hunter2", 1);
    await away.ask("config", "set", "maxmemory", "1");
    const full = await Promise.resolve(limiter.take("hunter2", 1)).catch((error: unknown) => error);
    await away.kill();
    const gone = await Promise.resolve(limiter.take("hunter2", 1)).catch((error: unknown) => error);
    expect([full, gone]).toMatchObject([{ code: "STORE_UNAVAILABLE" }, { code: "STORE_UNAVAILABLE" }]);
    const all = inspect([full, gone, lost.log.lines], { depth: 10, showHidden: true });
    expect(all).not.toContain("hunter2");
  });
});
