/** What follows from the numbers of a rule. */
import type { Rule } from "./limiter.ts";

/** A bucket is refilled to the millisecond: its rate must be a fraction of small numbers, which are whole in its sum. */
export const MOST_TICKS = 100_000;
/** Ticks that a bucket may hold: numbers up to twice that are whole, also when divided. */
export const MOST_HELD = 2 ** 51;

/** What a rule can have at most at a time. */
export function capacityOf({ algorithm, count, burst }: Rule): number {
  if (algorithm === "token-bucket") return burst;
  return algorithm === "hybrid" ? Math.min(burst, count) : count;
}

/** Ticks that a unit is worth, and that a millisecond gives: whole numbers, as small as can be. */
export function ticksOf({ count, windowMs }: Rule): { unit: number; gain: number } {
  const common = gcd(count, windowMs);
  return { unit: windowMs / common, gain: count / common };
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
