/** What every limiter promises, wherever it counts. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Decision, Plan, Rule } from "../../plugins/limit/limiter.ts";
import { capacityOf } from "./limit-model.ts";
import {
  ALGORITHMS,
  type Admitted,
  compare,
  type MakeLimiter,
  mostWithin,
  plainPlanOf,
  plainSteps,
  planOf,
  ruleOf,
  steps,
  type TimedLimiter,
} from "./limiter-traces.ts";

export interface SuiteOptions {
  /** Histories of a property. */
  readonly runs: number;
  readonly timeoutMs?: number;
}

/** Makes tests of properties. */
const holder =
  ({ runs, timeoutMs = 60_000 }: SuiteOptions) =>
  <Values>(promise: string, property: fc.IAsyncProperty<Values>): void => {
    it(promise, () => fc.assert(property, { numRuns: runs }), timeoutMs);
  };

/** Describes a kind of limiter. */
export function describePromises(make: MakeLimiter, options: SuiteOptions): void {
  const holds = holder(options);

  describe.each(ALGORITHMS)("%s", (algorithm) => {
    holds(
      "decides as the model does, request by request",
      fc.asyncProperty(planOf([algorithm], 1), steps, async (plan, history) => {
        await compare(make(plan), plan, history);
      }),
    );

    holds(
      "keeps its bound in every window",
      fc.asyncProperty(plainPlanOf(algorithm), plainSteps, async (plan, history) => {
        const timed = make(plan);
        const admitted = await compare(timed, plan, history);
        for (const key of ["a", "b"]) {
          const own = admitted.filter((each) => each.key === key);
          expectBound(plan.rules[0]!, own, timed.utcOffsetMs);
        }
      }),
    );

    holds(
      "lets a refused request pass when it said, and not a millisecond before",
      fc.asyncProperty(plainPlanOf(algorithm), plainSteps, fc.nat(), async (plan, history, nth) => {
        const timed = make(plan);
        await compare(timed, plan, history);
        const cost = 1 + (nth % capacityOf(plan.rules[0]!));
        const { retryAfterMs } = await drain(timed, cost);
        timed.advance(retryAfterMs - 1);
        const early = await timed.limiter.take("a", cost);
        expect(early).toMatchObject({ outcome: "limited", retryAfterMs: 1 });
        timed.advance(1);
        expect(await timed.limiter.take("a", cost)).toMatchObject({ outcome: "allowed", cost });
      }),
    );

    holds(
      "refuses nothing to a client that keeps to the rate",
      fc.asyncProperty(plainPlanOf(algorithm), fc.nat({ max: 100_000 }), async (plan, startMs) => {
        const timed = make(plan);
        timed.advance(startMs);
        for (let i = 0; i < 60; i++) {
          expect(await timed.limiter.take("a", 1)).toMatchObject({ outcome: "allowed" });
          timed.advance(paceOf(plan.rules[0]!));
        }
      }),
    );
  });

  holds(
    "decides as the model does for several rules at once",
    fc.asyncProperty(planOf(), steps, async (plan, history) => {
      await compare(make(plan), plan, history);
    }),
  );

  holds(
    "keeps what was consumed when a rate changes, and begins anew with another window or algorithm",
    fc.asyncProperty(plainRule, plainRule, fc.nat(), async (before, after, nth) => {
      const timed = make(planWith(before));
      const taken = nth % (capacityOf(before) + 1);
      await timed.limiter.take("a", taken);
      const changed = timed.change(planWith(after));
      const isSame = before.algorithm === after.algorithm && before.windowMs === after.windowMs;
      const remaining = Math.max(0, capacityOf(after) - (isSame ? taken : 0));
      expect((await changed.read("a")).rules).toMatchObject([{ remaining }]);
      const first = await changed.take("a", 1);
      expect(first).toMatchObject({
        outcome: remaining > 0 ? "allowed" : "limited",
        remaining: Math.max(0, remaining - 1),
      });
    }),
  );

  it("refills a bucket to the millisecond", async () => {
    const rule = { name: "rule", algorithm: "token-bucket", count: 7, windowMs: 1000, burst: 7 } as const;
    const timed = make({ rules: [rule], ban: undefined, countRejected: false });
    await timed.limiter.take("a", 7);
    let now = 0;
    for (let unit = 1; unit <= 700; unit++) {
      const due = Math.ceil((unit * 1000) / 7);
      timed.advance(due - now - 1);
      expect(await timed.limiter.take("a", 1), `unit ${unit}`).toMatchObject({
        outcome: "limited",
        retryAfterMs: 1,
      });
      timed.advance(1);
      expect(await timed.limiter.take("a", 1), `unit ${unit}`).toMatchObject({ outcome: "allowed" });
      now = due;
    }
  });
}

/** What holds where limiters of one scope share their counts. */
export function describeSharing(make: MakeLimiter, options: SuiteOptions): void {
  const holds = holder(options);
  holds(
    "counts what plans of several tiers take of a key together",
    fc.asyncProperty(plainRule, burstAndCount, takesOfTwo, async (rule, other, takes) => {
      const timed = make(planWith(rule));
      const tiers = [rule, { ...rule, ...other }].map((each) => ({
        capacity: capacityOf(each),
        limiter: timed.change(planWith(each)),
      }));
      let taken = 0;
      for (const [isOther, cost] of takes) {
        const { capacity, limiter } = tiers[Number(isOther)]!;
        const fits = taken + cost <= capacity;
        const { outcome, remaining } = await limiter.take("a", cost);
        if (fits) taken += cost;
        expect({ outcome, remaining }).toEqual({
          outcome: fits ? "allowed" : "limited",
          remaining: Math.max(0, capacity - taken),
        });
      }
    }),
  );
}

/** Rules that often have the same window. */
const plainRule = ruleOf().map((rule) => ({
  ...rule,
  windowMs: rule.windowMs % 2 === 0 ? 1000 : rule.windowMs,
}));
const burstAndCount = fc.record({
  burst: fc.integer({ min: 1, max: 50 }),
  count: fc.integer({ min: 1, max: 50 }),
});
const takesOfTwo = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 8 })), {
  size: "max",
  maxLength: 30,
});
const planWith = (rule: Rule): Plan => ({ rules: [rule], ban: undefined, countRejected: false });

/** Takes so much that a request of this cost is refused. */
async function drain({ limiter }: TimedLimiter, cost: number): Promise<Decision> {
  const { remaining } = (await limiter.read("a")).rules[0]!;
  await limiter.take("a", remaining);
  const decision = await limiter.take("a", cost);
  expect(decision).toMatchObject({ outcome: "limited", cost: 0 });
  return decision;
}

/** @param admitted of one key */
function expectBound(
  { algorithm, count, windowMs, burst }: Rule,
  admitted: Admitted[],
  offsetMs: number,
): void {
  const most = mostWithin(admitted, windowMs);
  const atOnce = mostWithin(admitted, 1);
  switch (algorithm) {
    case "token-bucket":
      expect(most).toBeLessThanOrEqual(burst + count);
      expect(atOnce).toBeLessThanOrEqual(burst);
      break;
    case "fixed-window":
      expect(most).toBeLessThanOrEqual(2 * count);
      for (const { at } of admitted) {
        const window = Math.floor((at + offsetMs) / windowMs);
        const inIt = admitted.filter((each) => Math.floor((each.at + offsetMs) / windowMs) === window);
        expect(inIt.reduce((sum, { cost }) => sum + cost, 0)).toBeLessThanOrEqual(count);
      }
      break;
    case "sliding-window-log":
      expect(most).toBeLessThanOrEqual(count);
      break;
    case "sliding-window-counter":
      expect(most).toBeLessThan(2 * count);
      break;
    case "hybrid":
      expect(most).toBeLessThan(2 * count);
      expect(most).toBeLessThanOrEqual(burst + count);
      expect(atOnce).toBeLessThanOrEqual(Math.min(burst, count));
  }
}

/**
 * How far apart requests come that are always let in. A sliding-window-counter takes the window before for evenly used,
 * so it has one unit less for those that use it evenly.
 */
function paceOf({ algorithm, count, windowMs }: Rule): number {
  if (algorithm !== "sliding-window-counter" && algorithm !== "hybrid") return Math.ceil(windowMs / count);
  return count === 1 ? 2 * windowMs : Math.ceil(windowMs / (count - 1));
}
