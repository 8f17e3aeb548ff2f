import type { Plan, Rule } from "./limiter.ts";

/** Buckets are refilled exactly: any rate can be that is a fraction of a number up to this. */
const MOST_TICKS = 50_000;
/** Counts are rounded to less than this, which most windows are a multiple of something below. */
const LARGEST_UNIT = 1_000_000;

/**
 * A plan with a share of each rate, rounded down, though at least one unit.
 * @param share above 0, at most 1
 */
export function sharePlan(plan: Plan, share: number): Plan {
  return share === 1 ? plan : { ...plan, rules: plan.rules.map((rule) => shareRule(rule, share)) };
}

function shareRule(rule: Rule, share: number): Rule {
  const { algorithm, windowMs } = rule;
  const part = (units: number): number => Math.max(1, Math.floor(units * share));
  const count = part(rule.count);
  const burst = part(rule.burst);
  if (algorithm !== "token-bucket" && algorithm !== "hybrid") return { ...rule, count, burst };
  const exact = roundDown(count, windowMs);
  if (exact === count) return { ...rule, count, burst };
  return { ...rule, count: exact, burst: Math.max(1, Math.floor((burst / count) * exact)) };
}

/** The next lower count that buckets can be refilled by. */
function roundDown(count: number, windowMs: number): number {
  for (let unit = Math.ceil(count / MOST_TICKS); unit <= LARGEST_UNIT; unit++) {
    if (windowMs % unit === 0 && unit <= count) return count - (count % unit);
  }
  return MOST_TICKS;
}
