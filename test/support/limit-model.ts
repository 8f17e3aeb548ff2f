/** A limiter that is slow and obviously right, to compare others with. */
import type { Outcome, Plan, Reading, Rule } from "../../plugins/limit/limiter.ts";
import { type Count, createCount, first } from "./limit-counts.ts";

/** The most that a rule can ever let in at once. */
export function capacityOf({ algorithm, count, burst }: Rule): number {
  if (algorithm === "token-bucket") return burst;
  return algorithm === "hybrid" ? Math.min(count, burst) : count;
}

/** What the model says of a request. */
export interface Verdict {
  readonly outcome: Outcome;
  /** Rules that may be told to have refused it, all of them when it was allowed. */
  readonly rules: readonly number[];
  /** What is left of each rule then. */
  readonly left: Reading["rules"];
  readonly retryAfterMs: number;
}

/** What a model knows of a key. */
interface Kept {
  counts: readonly Count[];
  /** When the refusals that lead to a ban came. */
  refusals: number[];
  bannedUntil: number;
}

/** Counts by key, for one plan, as {@link Limiter} says. Times are handed in. */
export class LimitModel {
  readonly #plan: Plan;
  readonly #utcOffsetMs: number;
  readonly #keys = new Map<string, Kept>();

  /** @param utcOffsetMs what makes a time one since 00:00 UTC of some day */
  constructor(plan: Plan, utcOffsetMs = 0) {
    this.#plan = plan;
    this.#utcOffsetMs = utcOffsetMs;
  }

  take(key: string, cost: number, now: number): Verdict {
    const kept = this.#of(key);
    if (kept.bannedUntil > now) return this.#verdict(kept, "banned", [], kept.bannedUntil - now, now);
    const refusing = kept.counts.flatMap((count, i) => (count.fits(cost, now) ? [] : [i]));
    if (refusing.length === 0) {
      for (const count of kept.counts) count.add(cost, now);
      return this.#verdict(kept, "allowed", [...kept.counts.keys()], 0, now);
    }
    if (this.#plan.countRejected) for (const count of kept.counts) count.takeRest(cost, now);
    this.#refuse(kept, now);
    const retryAfterMs = Math.max(this.#retryAfter(kept, cost, now), kept.bannedUntil - now);
    return this.#verdict(kept, "limited", refusing, retryAfterMs, now);
  }

  settle(key: string, takenAt: number, by: number, now: number): void {
    for (const count of this.#of(key).counts) {
      if (by > 0) count.add(by, now);
      else count.giveBack(-by, takenAt, now);
    }
  }

  read(key: string, now: number): Reading {
    const kept = this.#of(key);
    return { rules: this.#left(kept, now), bannedForMs: Math.max(0, kept.bannedUntil - now) };
  }

  reset(key: string): void {
    this.#keys.delete(key);
  }

  ban(key: string, forMs: number, now: number): void {
    const kept = this.#of(key);
    kept.bannedUntil = now + forMs;
    kept.refusals = [];
  }

  /** One of another plan that knows what was taken of rules with the same place, algorithm and window. */
  change(plan: Plan): LimitModel {
    const model = new LimitModel(plan, this.#utcOffsetMs);
    for (const [key, kept] of this.#keys) {
      const counts = model.#of(key).counts;
      for (const [i, rule] of plan.rules.entries()) {
        const before = this.#plan.rules[i];
        if (before?.algorithm !== rule.algorithm || before.windowMs !== rule.windowMs) continue;
        for (const { at, units } of kept.counts[i]!.history()) counts[i]!.add(units, at);
      }
    }
    return model;
  }

  #of(key: string): Kept {
    let kept = this.#keys.get(key);
    if (kept === undefined) {
      const counts = this.#plan.rules.map((rule) => createCount(rule, this.#utcOffsetMs));
      kept = { counts, refusals: [], bannedUntil: Number.NEGATIVE_INFINITY };
      this.#keys.set(key, kept);
    }
    return kept;
  }

  /** The first refusal begins a time in which so many lead to a ban. */
  #refuse(kept: Kept, now: number): void {
    const { ban } = this.#plan;
    if (ban === undefined) return;
    if (kept.refusals.length > 0 && now >= kept.refusals[0]! + ban.withinMs) kept.refusals = [];
    kept.refusals.push(now);
    if (kept.refusals.length < ban.after) return;
    kept.refusals = [];
    kept.bannedUntil = now + ban.forMs;
  }

  #retryAfter(kept: Kept, cost: number, now: number): number {
    const { rules } = this.#plan;
    const never = rules.filter((rule) => cost > capacityOf(rule));
    if (never.length > 0) return Math.max(...never.map(({ windowMs }) => windowMs));
    return first((ms) => kept.counts.every((count) => count.fits(cost, now + ms)));
  }

  #verdict(kept: Kept, outcome: Outcome, rules: number[], retryAfterMs: number, now: number): Verdict {
    return { outcome, rules, left: this.#left(kept, now), retryAfterMs };
  }

  #left(kept: Kept, now: number): Reading["rules"] {
    return kept.counts.map((count, i) => {
      const isTooMany = (units: number): boolean =>
        units >= capacityOf(this.#plan.rules[i]!) || !count.fits(units + 1, now);
      return { remaining: first(isTooMany), resetMs: first((ms) => count.isWhole(now + ms)) };
    });
  }
}
