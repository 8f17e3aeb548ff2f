/** Leases: never more than without them, not much less, and far fewer calls. */
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  createLeaseLimiter,
  type LeaseLimiter,
  type LeaseOptions,
} from "../../../plugins/limit/lease-limiter.ts";
import { RedisCalls } from "../../../plugins/limit/redis-calls.ts";
import type { Algorithm, Decision, Plan, Rule } from "../../../plugins/limit/limiter.ts";
import { type Admitted, ALGORITHMS, mostWithin } from "../../support/limiter-traces.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";
import { type OpenedStore, openStore, redisAt } from "../../support/stores.ts";

const BEGIN = 1_700_000_000_000;

const ruleOf = (algorithm: Algorithm, more: Partial<Rule> = {}): Rule => ({
  name: "rule",
  algorithm,
  count: 1000,
  windowMs: 1000,
  burst: more.count ?? 1000,
  ...more,
});
const planOf = (rules: readonly Rule[], more: Partial<Plan> = {}): Plan => ({
  rules,
  ban: undefined,
  countRejected: false,
  ...more,
});

const using = new AsyncDisposableStack();
let server: RedisServer;
let opened: OpenedStore;
let now = BEGIN;
let scopes = 0;
beforeAll(async () => {
  server = using.use(await startRedis());
  opened = using.use(await openStore(redisAt(server.url)));
});
afterAll(() => using.disposeAsync());
beforeEach(() => {
  now = BEGIN;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
});
afterEach(() => void vi.useRealTimers());

/** Gateways that count together. */
function createGateways(count: number, plan: Plan, options: Partial<LeaseOptions> = {}): LeaseLimiter[] {
  const scope = `route/lease-${scopes++}`;
  return Array.from({ length: count }, () =>
    createLeaseLimiter(scope, plan, opened.store, {
      timeoutMs: 5000,
      share: 0.1,
      leaseMs: 1000,
      now: () => now,
      ...options,
    }),
  );
}

/** Lets time go by, with what is to happen in it. */
async function pass(ms: number): Promise<void> {
  now += ms;
  vi.advanceTimersByTime(ms);
  await opened.store.get("anything"); // whatever was asked before has been answered
}

const takeMany = (limiter: LeaseLimiter, times: number, cost = 1): Promise<Decision[]> =>
  Promise.all(Array.from({ length: times }, async () => limiter.take("key", cost)));
const admittedOf = (decisions: readonly Decision[]): number =>
  decisions.filter(({ outcome }) => outcome === "allowed").length;
const callsOf = async (): Promise<number> =>
  Number(
    /sluice_store_calls_total\{store="main",result="ok"\} (\d+)/.exec(
      (await opened.metrics.render()).text,
    )![1],
  );

/** Most units in the windows that lie side by side. */
function sumsOf(admitted: readonly Admitted[], windowMs: number): Map<number, number> {
  const sums = new Map<number, number>();
  for (const { at, cost } of admitted) {
    const index = Math.floor(at / windowMs);
    sums.set(index, (sums.get(index) ?? 0) + cost);
  }
  return sums;
}

/** Fails where more was let in than a rule may. */
function expectWithin({ algorithm, count, windowMs, burst }: Rule, admitted: readonly Admitted[]): void {
  if (algorithm === "sliding-window-log") expect(mostWithin(admitted, windowMs)).toBeLessThanOrEqual(count);
  if (algorithm === "fixed-window")
    expect(Math.max(0, ...sumsOf(admitted, windowMs).values())).toBeLessThanOrEqual(count);
  if (algorithm === "token-bucket" || algorithm === "hybrid") {
    let most = 0;
    for (const [i, first] of admitted.entries()) {
      let sum = 0;
      for (const { at, cost } of admitted.slice(i)) {
        sum += cost;
        most = Math.max(most, sum * windowMs - count * (at - first.at));
      }
    }
    expect(most / windowMs).toBeLessThanOrEqual(burst);
  }
  if (algorithm === "sliding-window-counter" || algorithm === "hybrid") {
    const sums = new Map<number, number>();
    for (const { at, cost } of admitted) {
      const index = Math.floor(at / windowMs);
      sums.set(index, (sums.get(index) ?? 0) + cost);
      const before = (sums.get(index - 1) ?? 0) * ((index + 1) * windowMs - at);
      expect(before + sums.get(index)! * windowMs).toBeLessThanOrEqual(count * windowMs);
    }
  }
}

const rules = (algorithm: Algorithm): fc.Arbitrary<Rule> =>
  fc.record({
    name: fc.constant("rule"),
    algorithm: fc.constant(algorithm),
    count: fc.integer({ min: 10, max: 300 }),
    windowMs: fc.integer({ min: 100, max: 2000 }),
    burst: fc.integer({ min: 10, max: 300 }),
  });
const steps = fc.array(
  fc.record({
    gateway: fc.nat({ max: 1 }),
    times: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 80 })),
    cost: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat({ max: 9 }) }),
    waitMs: fc.oneof(
      { weight: 3, arbitrary: fc.integer({ min: 0, max: 5 }) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 60 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 600 }) },
    ),
  }),
  { minLength: 20, maxLength: 80, size: "max" },
);
const uses = fc.record({
  share: fc.constantFrom(0.1, 0.5, 1),
  leaseMs: fc.constantFrom(20, 1000),
});

describe("leases", () => {
  it.each(ALGORITHMS)("never let in more than without them, in any window: %s", async (algorithm) => {
    let lent = 0;
    const plans = fc.array(rules(algorithm), { minLength: 1, maxLength: 2 });
    const property = fc.asyncProperty(plans, uses, steps, async (plan, use, history) => {
      const gateways = createGateways(2, planOf(plan), use);
      const admitted: Admitted[] = [];
      for (const { gateway, times, cost, waitMs } of history) {
        const first = gateways[gateway]!.take("key", cost);
        if (!(first instanceof Promise) && first.outcome === "allowed") lent++;
        const decisions = [await first, ...(await takeMany(gateways[gateway]!, times, cost))];
        admitted.push({ key: "key", at: now, cost: cost * admittedOf(decisions) });
        await pass(waitMs);
      }
      for (const rule of plan) expectWithin(rule, admitted);
    });
    await fc.assert(property, { numRuns: 100 });
    expect(lent).toBeGreaterThan(100);
  });

  it.each(ALGORITHMS)("ask less than a tenth as often, and let in nearly as much: %s", async (algorithm) => {
    const rule = ruleOf(algorithm, { count: 10_000, windowMs: 10_000 });
    const gateways = createGateways(2, planOf([rule]));
    const admitted: Admitted[] = [];
    const before = await callsOf();
    for (; now < BEGIN + 30_000; await pass(10)) {
      for (const gateway of gateways) {
        admitted.push({ key: "key", at: now, cost: admittedOf(await takeMany(gateway, 6)) });
      }
    }
    const calls = (await callsOf()) - before - 3000; // `pass` asks as well
    expectWithin(rule, admitted);
    const sum = admitted.reduce((all, { cost }) => all + cost, 0);
    expect(calls * 10).toBeLessThan(sum);
    expect(sum).toBeGreaterThan(30_000 * 0.85);
  });

  it.each(ALGORITHMS)("lets thousands of requests at once share a few calls: %s", async (algorithm) => {
    const gateways = createGateways(2, planOf([ruleOf(algorithm)]), { leaseMs: 10 });
    const before = await callsOf();
    const decisions = (await Promise.all(gateways.map((gateway) => takeMany(gateway, 3000)))).flat();
    expect((await callsOf()) - before).toBeLessThan(60);
    expect(admittedOf(decisions)).toBeLessThanOrEqual(1000);
    expect(admittedOf(decisions)).toBeGreaterThanOrEqual(980);
    expect(decisions.every(({ outcome, retryAfterMs }) => outcome === "allowed" || retryAfterMs > 0)).toBe(
      true,
    );
  });

  it("let requests wait only now and then", async () => {
    const [gateway] = createGateways(1, planOf([ruleOf("sliding-window-counter")]));
    let waited = 0;
    for (; now < BEGIN + 2000; await pass(2)) if (gateway!.take("key", 1) instanceof Promise) waited++;
    expect(waited).toBeLessThan(50);
  });

  it("tell what is left, in hand and in the store", async () => {
    const [gateway, other] = createGateways(2, planOf([ruleOf("fixed-window")]));
    for (let i = 1; i <= 40; i++) {
      const decision = await gateway!.take("key", 1);
      expect(decision).toMatchObject({ outcome: "allowed", rule: 0, cost: 1, retryAfterMs: 0 });
      expect(decision.remaining).toBe(1000 - i);
      await pass(1);
    }
    expect(await gateway!.read("key")).toMatchObject({ rules: [{ remaining: 960 }], bannedForMs: 0 });
    expect((await other!.read("key")).rules[0]!.remaining).toBeLessThan(960);
  });

  it.each(ALGORITHMS)("are given back when they end: %s", async (algorithm) => {
    const rule = ruleOf(algorithm, { count: 10_000, windowMs: 100_000 });
    const [gateway, other] = createGateways(2, planOf([rule]));
    for (let i = 0; i < 40; i++) {
      await gateway!.take("key", 1);
      await pass(1);
    }
    await pass(2000);
    await pass(0);
    const left = (await other!.read("key")).rules[0]!.remaining;
    expect(left).toBeGreaterThanOrEqual(algorithm === "token-bucket" || algorithm === "hybrid" ? 9860 : 9960);
    const closing = [gateway!, other!].map((each) => each.close());
    await Promise.all(closing);
  });

  it("are given back at the end of the gateway", async () => {
    const [gateway, other] = createGateways(2, planOf([ruleOf("fixed-window")]));
    for (let i = 0; i < 40; i++) {
      await gateway!.take("key", 1);
      await pass(1);
    }
    await gateway!.close();
    expect((await other!.read("key")).rules[0]!.remaining).toBe(960);
  });

  it("are given back that come while the gateway ends", async () => {
    const [gateway, other] = createGateways(2, planOf([ruleOf("fixed-window")]));
    let used = 0;
    for (; used < 40; used++) {
      await gateway!.take("key", 1);
      await pass(1);
    }
    let last: unknown;
    for (; !(last instanceof Promise); used++) last = gateway!.take("key", 1);
    await gateway!.close();
    expect(await last).toMatchObject({ outcome: "allowed" });
    expect((await other!.read("key")).rules[0]!.remaining).toBe(1000 - used);
  });

  it("are not lost to requests that wait while their key is reset", async () => {
    const [gateway, other] = createGateways(2, planOf([ruleOf("fixed-window")]));
    const asked = takeMany(gateway!, 40);
    await gateway!.reset("key");
    expect(admittedOf(await asked)).toBe(40);
    await gateway!.close();
    expect((await other!.read("key")).rules[0]!.remaining).toBe(961);
  });

  it("leave nothing of a bucket that it would not have held without them", async () => {
    const plan = planOf([ruleOf("token-bucket", { windowMs: 10_000 })]);
    const options = { timeoutMs: 5000, now: () => now };
    const calls = new RedisCalls(`route/lease-${scopes++}`, plan, opened.store, options, 100);
    expect((await calls.take("key", 1, 0, 300)).lent).toBe(300);
    const { at } = (await calls.take("key", 1)).decision;
    now += 4000; // the bucket is full again
    expect((await calls.take("key", 990)).decision).toMatchObject({ outcome: "allowed", remaining: 0 });
    await calls.giveBack("key", 300, at);
    expect((await calls.read("key")).rules[0]!.remaining).toBe(0);
    now += 5000;
    const second = await calls.take("key", 0, 100);
    await calls.giveBack("key", 100, second.decision.at);
    expect((await calls.read("key")).rules[0]!.remaining).toBe(500);
  });

  it("settle what requests cost in the end", async () => {
    const [gateway, other] = createGateways(2, planOf([ruleOf("sliding-window-log")]), { leaseMs: 100 });
    const decisions: Decision[] = [];
    for (let i = 0; i < 20; i++) {
      decisions.push(await gateway!.take("key", 10));
      await pass(1);
    }
    for (const [i, decision] of decisions.entries()) await gateway!.settle("key", decision, i % 2 ? 5 : -10);
    await gateway!.close();
    expect((await other!.read("key")).rules[0]!.remaining).toBe(1000 - 10 * 15);
    await gateway!.settle("key", decisions[1]!, 2000);
    expect(await other!.take("key", 0)).toMatchObject({ outcome: "limited" });
  });

  it("lead to bans by refusals that the store was not asked for", async () => {
    const ban = { after: 100, withinMs: 60_000, forMs: 5000 };
    const [gateway, other] = createGateways(2, planOf([ruleOf("fixed-window", { count: 20 })], { ban }));
    await takeMany(gateway!, 200);
    await pass(100);
    expect(await other!.take("key", 1)).toMatchObject({ outcome: "banned" });
    expect(await gateway!.take("key", 1)).toMatchObject({ outcome: "banned" });
    expect(await gateway!.bans()).toMatchObject([{ key: "key" }]);
    await gateway!.reset("key");
    expect(await gateway!.take("key", 1)).toMatchObject({ outcome: "allowed" });
  });

  it("are used up while the store is away; then it fails", async () => {
    const away = await startRedis();
    const lost = await openStore(redisAt(away.url));
    const options = { timeoutMs: 5000, share: 0.1, leaseMs: 1000, now: () => now };
    const plan = planOf([ruleOf("fixed-window")]);
    const gateway = createLeaseLimiter("route/lease", plan, lost.store, options);
    for (let i = 0; i < 20; i++) {
      await gateway.take("key", 1);
      now++;
    }
    await away[Symbol.asyncDispose]();
    expect(await gateway.take("key", 1)).toMatchObject({ outcome: "allowed" });
    now += 500;
    await expect(gateway.take("key", 1)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    await gateway.close();
    await lost[Symbol.asyncDispose]();
  });

  it("are not taken where they are of no use: each request asks", async () => {
    const [gateway] = createGateways(1, planOf([ruleOf("fixed-window", { count: 5 })]));
    const before = await callsOf();
    expect(admittedOf(await takeMany(gateway!, 20))).toBe(5);
    expect((await callsOf()) - before).toBe(20);
    await gateway!.close();
  });

  it("are not taken for keys that come once in a while", async () => {
    const [gateway, other] = createGateways(2, planOf([ruleOf("fixed-window")]));
    for (let i = 0; i < 5; i++) {
      await gateway!.take("key", 1);
      await pass(150);
    }
    expect((await other!.read("key")).rules[0]!.remaining).toBe(995);
  });
});
