/**
 * What counts requests and decides who may pass. Each kind of limiter keeps its counts somewhere else: in memory that
 * all threads see, or in a store that all gateways see. A limiter is made for one plan when a generation is built.
 */

/** How a rule counts. `docs/plugins/limit.md` says what each promises. */
export type Algorithm =
  | "token-bucket"
  | "fixed-window"
  | "sliding-window-log"
  | "sliding-window-counter"
  | "hybrid";

/** So much in so long. */
export interface Rule {
  /** What replies call it: unique in its plan. */
  readonly name: string;
  readonly algorithm: Algorithm;
  /** Units that a window has, a whole number, at least 1. A request costs one unless something else is said. */
  readonly count: number;
  /** Whole milliseconds, at least 1. */
  readonly windowMs: number;
  /** Units that a bucket holds, a whole number, at least 1. `token-bucket` and `hybrid` alone have buckets. */
  readonly burst: number;
}

/** Who is refused too often is refused all. */
export interface BanRule {
  /** Refusals... */
  readonly after: number;
  /** ...in so many milliseconds that lead to a ban... */
  readonly withinMs: number;
  /** ...for so many milliseconds. */
  readonly forMs: number;
}

/** What holds for the requests of one tier. */
export interface Plan {
  /** At least one. A request passes if all have room for it, and is counted in all or in none. */
  readonly rules: readonly Rule[];
  readonly ban: BanRule | undefined;
  /** Refused requests take as well, as far as there is something to take: whoever goes on asking goes on waiting. */
  readonly countRejected: boolean;
}

export type Outcome = "allowed" | "limited" | "banned";

/** What became of a request. Times are whole milliseconds from now on. */
export interface Decision {
  readonly outcome: Outcome;
  /** Index of the rule that refused it; that with the smallest share left when it was allowed. */
  readonly rule: number;
  /** Units that are left of this rule, a whole number, at least 0. */
  readonly remaining: number;
  /** Until the whole of this rule is there again if nothing else comes. */
  readonly resetMs: number;
  /** Until the same request could be allowed; until the ban is over, also one that begins with it. 0 when it was allowed. */
  readonly retryAfterMs: number;
  /** What it has taken: 0 when it was refused. */
  readonly cost: number;
  /** This refusal was the last one before a ban, which holds from now on. */
  readonly beginsBan: boolean;
  /** When it was counted, on the clock of the limiter; {@link Limiter.settle} wants to know. */
  readonly at: number;
}

/** What is left for a key. */
export interface Reading {
  /** In the order of the plan. */
  readonly rules: readonly { readonly remaining: number; readonly resetMs: number }[];
  /** 0 for a key that is not banned. */
  readonly bannedForMs: number;
}

/** A key that is banned. */
export interface Ban {
  readonly key: string;
  readonly forMs: number;
}

/**
 * Counts by key, for one plan. Limiters of one scope count the same keys: plans of several tiers, and those before and
 * after a reload. So what a key has consumed stays when its rate or its tier changes.
 * Those on the network fail with STORE_UNAVAILABLE.
 */
export interface Limiter {
  /**
   * Takes what a request costs, or nothing. At once where it can be: no promise is made in memory.
   * @param cost whole units, at least 0; more than a rule ever has is refused for good. What costs nothing passes as
   *   long as something is left, or nothing is owed.
   */
  take(key: string, cost: number): Decision | Promise<Decision>;
  /**
   * Changes what an allowed request has cost, once that is known.
   * @param by whole units: above 0 they are charged, though nothing be left; below 0 they are given back
   */
  settle(key: string, decision: Decision, by: number): void | Promise<void>;
  /** Looks without taking. */
  read(key: string): Reading | Promise<Reading>;
  /** Forgets what a key has consumed, its refusals and its ban. */
  reset(key: string): void | Promise<void>;
  /** Bans a key for so many milliseconds, whatever it did; lifts its ban with 0. */
  ban(key: string, forMs: number): void | Promise<void>;
  /** Keys that are banned, as far as this limiter knows them, those with most time left first; not more than some hundreds. */
  bans(): readonly Ban[] | Promise<readonly Ban[]>;
}
