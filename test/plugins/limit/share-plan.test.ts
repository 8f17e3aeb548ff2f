import fc from "fast-check";
import { expect, it } from "vitest";
import type { Plan, Rule } from "../../../plugins/limit/limiter.ts";
import { bucketProblem } from "../../../plugins/limit/memory/bucket.ts";
import { sharePlan } from "../../../plugins/limit/share-plan.ts";

const rule = (parts: Partial<Rule>): Rule => ({
  name: "1m",
  algorithm: "token-bucket",
  count: 100,
  windowMs: 60_000,
  burst: 100,
  ...parts,
});
/** Of a window, and of the time in which a bucket fills. */
const LONGEST_MS = 366 * 86_400_000;
const plan = (...rules: Rule[]): Plan => ({ rules, ban: undefined, countRejected: false });

it("is the plan itself when the share is all", () => {
  const whole = plan(rule({}));
  expect(sharePlan(whole, 1)).toBe(whole);
});

it("rounds each rule down, to one unit at least", () => {
  const ban = { after: 3, withinMs: 1000, forMs: 5000 };
  const shared = sharePlan(
    { ...plan(rule({ count: 99, burst: 7 }), rule({ algorithm: "fixed-window", count: 2, burst: 2 })), ban },
    0.25,
  );
  expect(shared.rules.map(({ count, burst }) => [count, burst])).toEqual([
    [24, 1],
    [1, 1],
  ]);
  expect(shared.ban).toEqual(ban);
});

it("gives rates that a bucket can be refilled by exactly, and never more than the share", () => {
  const rates = fc
    .record({
      ticks: fc.integer({ min: 1, max: 100_000 }),
      windowMs: fc.integer({ min: 1, max: LONGEST_MS }),
      scale: fc.integer({ min: 1, max: 10_000 }),
      burst: fc.integer({ min: 1, max: 1_000_000_000 }),
      algorithm: fc.constantFrom("token-bucket" as const, "hybrid" as const),
    })
    .map(({ ticks, scale, algorithm, ...others }) => {
      const count = ticks * scale;
      const windowMs = Math.ceil(others.windowMs / scale) * scale;
      const burst = Math.min(others.burst, Math.ceil((count * LONGEST_MS) / windowMs));
      return rule({ algorithm, count, windowMs, burst });
    })
    .filter((whole) => bucketProblem(whole) === undefined);
  const shares = fc.integer({ min: 1, max: 10_000 }).map((n) => n / 10_000);
  fc.assert(
    fc.property(rates, shares, (whole, share) => {
      const shared = sharePlan(plan(whole), share).rules[0]!;
      expect(bucketProblem(shared)).toBeUndefined();
      for (const units of ["count", "burst"] as const) {
        expect(shared[units]).toBeGreaterThanOrEqual(1);
        expect(shared[units]).toBeLessThanOrEqual(Math.max(1, whole[units] * share));
      }
    }),
    { numRuns: 2000 },
  );
});

it.each([
  [3_000_000, 60_000, 1_999_960],
  [3 * 1_000_003, 1_000_003, 50_000],
])("rounds %i in %i ms to a rate that can be counted", (count, windowMs, rounded) => {
  const [shared] = sharePlan(plan(rule({ count, windowMs, burst: count / 2 })), 0.666665).rules;
  expect(shared).toMatchObject({ count: rounded, burst: Math.floor(rounded / 2) });
});
