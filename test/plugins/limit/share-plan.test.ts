import fc from "fast-check";
import { expect, it } from "vitest";
import type { Plan, Rule } from "../../../plugins/limit/limiter.ts";
import { sharePlan } from "../../../plugins/limit/share-plan.ts";

const rule = (parts: Partial<Rule>): Rule => ({
  name: "1m",
  algorithm: "token-bucket",
  count: 100,
  windowMs: 60_000,
  burst: 100,
  ...parts,
});
const plan = (...rules: Rule[]): Plan => ({ rules, ban: undefined, countRejected: false });
const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

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
    .tuple(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 1, max: 5000 }),
    )
    .map(([ticks, windowTicks, scale]) => ({ count: ticks * scale, windowMs: windowTicks * scale }));
  const shares = fc.integer({ min: 1, max: 10_000 }).map((n) => n / 10_000);
  fc.assert(
    fc.property(rates, shares, fc.constantFrom("token-bucket", "hybrid"), (rate, share, algorithm) => {
      const { count, burst, windowMs } = sharePlan(
        plan(rule({ ...rate, algorithm, burst: rate.count })),
        share,
      ).rules[0]!;
      expect(count).toBeGreaterThanOrEqual(1);
      expect(count).toBeLessThanOrEqual(Math.max(1, rate.count * share));
      expect(count / gcd(count, windowMs)).toBeLessThanOrEqual(100_000);
      if (algorithm === "hybrid") expect(burst).toBeLessThanOrEqual(count);
    }),
  );
});

it("finds a rate for a window that hardly anything divides", () => {
  const whole = plan(rule({ count: 3 * 1_000_003, windowMs: 1_000_003 }));
  expect(sharePlan(whole, 0.9).rules[0]!.count).toBe(2 * 1_000_003);
  expect(sharePlan(whole, 0.2).rules[0]!.count).toBe(100_000);
});
