/** Runs limiters through made-up histories, beside the model, and holds them to what they promise. */
import fc from "fast-check";
import { expect } from "vitest";
import type { Decision, Limiter, Plan, Rule } from "../../plugins/limit/limiter.ts";
import { capacityOf, LimitModel, type Verdict } from "./limit-model.ts";

/** A limiter whose time a test decides on. */
export interface TimedLimiter {
  readonly limiter: Limiter;
  /** A limiter of another plan that counts the same keys. */
  change(plan: Plan): Limiter;
  /** Whole milliseconds on its clock. */
  now(): number;
  advance(ms: number): void;
  /** What makes a time of its clock one since 00:00 UTC. */
  readonly utcOffsetMs: number;
}

/** Makes limiters that have counted nothing yet. */
export type MakeLimiter = (plan: Plan) => TimedLimiter;

export type Step =
  | { readonly do: "wait"; readonly ms: number }
  /** Until the last request that was refused could pass, or a little less. */
  | { readonly do: "waitForRoom"; readonly lessMs: number }
  /** Until windows that lie side by side begin anew, or a little less. */
  | { readonly do: "waitForWindow"; readonly lessMs: number }
  /** As long as refusals count that lead to a ban, or a little less. */
  | { readonly do: "waitForPardon"; readonly lessMs: number }
  | { readonly do: "take"; readonly key: string; readonly cost: number }
  | { readonly do: "settle"; readonly which: number; readonly by: number }
  | { readonly do: "read" | "reset"; readonly key: string }
  | { readonly do: "ban"; readonly key: string; readonly forMs: number };

export const ALGORITHMS = [
  "token-bucket",
  "fixed-window",
  "sliding-window-log",
  "sliding-window-counter",
  "hybrid",
] as const;

const DAY_MS = 86_400_000;

const counts = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 20 }) },
  { weight: 1, arbitrary: fc.constantFrom(100, 997, 4096) },
);
const windows = fc.oneof(
  fc.integer({ min: 1, max: 20 }),
  fc.integer({ min: 10, max: 2000 }),
  fc.constantFrom(1000, 60_000, 3_600_000, 86_400_000),
);

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Such rates are refused. */
const isTooFine = ({ count, windowMs }: Rule): boolean => count / gcd(count, windowMs) > 100_000;

/** The largest that algorithms take, logs apart. */
function enlarge(rule: Rule): Rule {
  if (rule.algorithm === "sliding-window-log") return { ...rule, count: 10_000, windowMs: 20 * DAY_MS };
  if (rule.algorithm === "token-bucket") return { ...rule, count: 1e8, burst: 1e8 };
  const count = rule.algorithm === "hybrid" ? 99_991 : 16_777_215;
  return { ...rule, count, windowMs: 366 * DAY_MS };
}

/** Rules of an algorithm, or of any. */
export const ruleOf = (algorithms: readonly Rule["algorithm"][] = ALGORITHMS): fc.Arbitrary<Rule> =>
  fc
    .record({
      name: fc.constant("rule"),
      algorithm: fc.constantFrom(...algorithms),
      count: counts,
      windowMs: windows,
      burst: counts,
    })
    .chain((rule) => fc.oneof({ weight: 12, arbitrary: fc.constant(rule) }, fc.constant(enlarge(rule))))
    .map((rule) => (isTooFine(rule) ? { ...rule, windowMs: 1000 } : rule));

const named = (rules: readonly Rule[]): Rule[] => rules.map((rule, i) => ({ ...rule, name: `rule-${i}` }));

export const planOf = (algorithms?: readonly Rule["algorithm"][], most = 3): fc.Arbitrary<Plan> =>
  fc.record({
    rules: fc.array(ruleOf(algorithms), { minLength: 1, maxLength: most }).map(named),
    ban: fc.option(
      fc.record({
        after: fc.integer({ min: 1, max: 4 }),
        withinMs: fc.integer({ min: 1, max: 500 }),
        forMs: fc.integer({ min: 1, max: 2000 }),
      }),
      { nil: undefined, freq: 3 },
    ),
    countRejected: fc.boolean(),
  });

/** A plan of one rule that neither bans nor counts what it refuses. */
export const plainPlanOf = (algorithm: Rule["algorithm"]): fc.Arbitrary<Plan> =>
  ruleOf([algorithm]).map((rule) => ({ rules: [rule], ban: undefined, countRejected: false }));

const keys = fc.constantFrom("a", "b");
const costs = fc.oneof(
  { weight: 6, arbitrary: fc.constant(1) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 25 }) },
  { weight: 1, arbitrary: fc.constantFrom(99, 500, 4096, 5000, 100_000, 16_000_000) },
);
const waits: fc.Arbitrary<Step> = fc.oneof(
  fc.integer({ min: 0, max: 5 }).map((ms) => ({ do: "wait", ms }) as const),
  fc.integer({ min: 0, max: 3000 }).map((ms) => ({ do: "wait", ms }) as const),
  fc.constantFrom(60_000, 86_399_999, 172_800_000).map((ms) => ({ do: "wait", ms }) as const),
  fc.constantFrom(0, 1).map((lessMs) => ({ do: "waitForRoom", lessMs }) as const),
  fc.constantFrom(0, 1).map((lessMs) => ({ do: "waitForWindow", lessMs }) as const),
  fc.constantFrom(0, 1).map((lessMs) => ({ do: "waitForPardon", lessMs }) as const),
);
const takes: fc.Arbitrary<Step> = fc
  .tuple(keys, costs)
  .map(([key, cost]) => ({ do: "take", key, cost }) as const);
const rest: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.nat(), fc.integer({ min: -25, max: 25 }))
      .map(([which, by]) => ({ do: "settle", which, by }) as const),
  },
  { weight: 2, arbitrary: keys.map((key) => ({ do: "read", key }) as const) },
  { weight: 1, arbitrary: keys.map((key) => ({ do: "reset", key }) as const) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(keys, fc.integer({ min: 0, max: 2000 }))
      .map(([key, forMs]) => ({ do: "ban", key, forMs }) as const),
  },
);

/** Takes and waits alone. */
export const plainSteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof({ weight: 3, arbitrary: takes }, { weight: 2, arbitrary: waits }),
  { minLength: 1, maxLength: 80, size: "max" },
);
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof({ weight: 6, arbitrary: takes }, { weight: 3, arbitrary: waits }, { weight: 3, arbitrary: rest }),
  { minLength: 1, maxLength: 80, size: "max" },
);

/** What was let in. */
export interface Admitted {
  readonly key: string;
  readonly at: number;
  readonly cost: number;
}

interface Open {
  readonly key: string;
  readonly decision: Decision;
}

/** Runs a history on a limiter and on the model, and fails where they differ. */
export async function compare(
  timed: TimedLimiter,
  plan: Plan,
  history: readonly Step[],
): Promise<Admitted[]> {
  const { limiter } = timed;
  const model = new LimitModel(plan, timed.utcOffsetMs);
  const admitted: Admitted[] = [];
  const open: Open[] = [];
  let retryAt = timed.now();
  for (const [i, step] of history.entries()) {
    const now = timed.now();
    const where = `step ${i}: ${JSON.stringify(step)}, at ${now}`;
    switch (step.do) {
      case "wait":
        timed.advance(step.ms);
        break;
      case "waitForRoom":
        timed.advance(Math.max(0, retryAt - step.lessMs - now));
        break;
      case "waitForWindow":
        timed.advance(Math.max(0, restOf(plan.rules[0]!, now + timed.utcOffsetMs) - step.lessMs));
        break;
      case "waitForPardon":
        timed.advance((plan.ban?.withinMs ?? 1) - step.lessMs);
        break;
      case "take": {
        const decision = await limiter.take(step.key, step.cost);
        const verdict = model.take(step.key, step.cost, now);
        expectSame(decision, verdict, plan, step.cost, now, where);
        if (verdict.outcome !== "allowed") retryAt = now + verdict.retryAfterMs;
        else {
          admitted.push({ key: step.key, at: now, cost: step.cost });
          open.push({ key: step.key, decision });
        }
        break;
      }
      case "settle": {
        const [settled] = open.splice(step.which % Math.max(1, open.length), 1);
        if (settled === undefined) break;
        const { key, decision } = settled;
        const by = Math.max(-decision.cost, Math.min(step.by, mostChargeOf(plan)));
        await limiter.settle(key, decision, by);
        model.settle(key, decision.at, by, now);
        break;
      }
      case "read":
        expect(await limiter.read(step.key), where).toEqual(model.read(step.key, now));
        break;
      case "reset":
        await limiter.reset(step.key);
        model.reset(step.key);
        break;
      case "ban":
        await limiter.ban(step.key, step.forMs);
        model.ban(step.key, step.forMs, now);
        break;
    }
  }
  return admitted;
}

/** A log counts no more at once than it has. */
const mostChargeOf = ({ rules }: Plan): number =>
  Math.min(...rules.map(({ algorithm, count }) => (algorithm === "sliding-window-log" ? count : 1e9)));

const restOf = ({ windowMs }: Rule, time: number): number => windowMs - (time % windowMs);

function expectSame(
  decision: Decision,
  verdict: Verdict,
  plan: Plan,
  cost: number,
  now: number,
  where: string,
): void {
  const { outcome, left, retryAfterMs } = verdict;
  expect(decision, where).toMatchObject({ outcome, retryAfterMs, cost: outcome === "allowed" ? cost : 0 });
  expect(decision.at, where).toBe(now);
  if (outcome === "banned") return;
  expect(verdict.rules, where).toContain(decision.rule);
  const { remaining, resetMs } = decision;
  expect({ remaining, resetMs }, where).toEqual(left[decision.rule]);
  if (outcome === "allowed") {
    // The rule that is told is the one with the smallest share left, as far as whole units say.
    const shares = left.map(({ remaining: units }, i) => (units + 1) / capacityOf(plan.rules[i]!));
    expect(remaining / capacityOf(plan.rules[decision.rule]!), where).toBeLessThanOrEqual(
      Math.min(...shares),
    );
  }
}

/** Most units that were let in within any `lengthMs`. */
export function mostWithin(admitted: readonly Admitted[], lengthMs: number): number {
  const sums = admitted.map((last) =>
    admitted
      .filter(({ at }) => at > last.at - lengthMs && at <= last.at)
      .reduce((sum, { cost }) => sum + cost, 0),
  );
  return Math.max(0, ...sums);
}
