import type { Plan, Rule } from "./limiter.ts";

/** Buckets are refilled exactly: their rates are fractions of numbers up to this. */
const MOST_TICKS = 100_000;

/**
 * A plan with a share of each rate, rounded down, though at least one unit.
 * @param share above 0, at most 1
 */
export function sharePlan(plan: Plan, share: number): Plan {
  return share === 1 ? plan : { ...plan, rules: plan.rules.map((rule) => shareRule(rule, share)) };
}

function shareRule(rule: Rule, share: number): Rule {
  const { algorithm, windowMs } = rule;
  const hasBucket = algorithm === "token-bucket" || algorithm === "hybrid";
  const units = partOf(rule.count, share);
  const count = hasBucket ? roundDown(units, windowMs, gcd(rule.count, windowMs)) : units;
  const burst = partOf(rule.burst, share);
  return { ...rule, count, burst: algorithm === "hybrid" ? Math.min(count, burst) : burst };
}

const partOf = (units: number, share: number): number => Math.max(1, Math.floor(units * share));

/** @param known divides the window, and gives the whole rate as a fraction that is simple enough */
function roundDown(count: number, windowMs: number, known: number): number {
  if (count / gcd(count, windowMs) <= MOST_TICKS) return count;
  return count >= known ? count - (count % known) : MOST_TICKS;
}

function gcd(a: number, b: number): number {
  while (b > 0) [a, b] = [b, a % b];
  return a;
}
