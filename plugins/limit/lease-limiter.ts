/**
 * Counts in Redis by leases: takes units ahead, in batches, and gives them out without asking. Redis counts them when
 * they are lent, so that no more is ever let in than counting each request would:
 *
 * - `fixed-window`, `sliding-window-counter`: leases end with their window, so that units are used where they count.
 * - `sliding-window-log`: units count as taken when their lease ends. Used earlier they count for longer, by a lease at
 *   most.
 * - `token-bucket`: what was taken may be used a lease later, when the bucket has gained anew. So it holds less by what it
 *   gains in a lease. What it gains over time is the same.
 * - `hybrid`: both of its parts as above.
 *
 * What is not used is given back when the lease ends: all of it where it counts in a window; of a bucket what it would
 * have held had it not been taken.
 *
 * It lets in less in three ways. Up to `share` of a rule is in the hands of each other thread, for a lease and until it
 * has been given back. Who was refused is refused for a tenth of a lease, and until there is room, but at most for a lease,
 * without asking: others may have given back.
 * And buckets hold a tenth less, logs count a lease longer, which is at most a tenth of the window.
 *
 * All gateways that count the same keys must have leases of the same length: while some count buckets without, as during a
 * change of the option, those may let in a tenth more.
 *
 * Leases belong to a thread and a generation. What they have in hand is given back when they end.
 */
import type { KeyValueStore } from "../../core/plugin.ts";
import { Hand } from "./hand.ts";
import { KnownBans } from "./known-bans.ts";
import type { Ban, Decision, Limiter, Plan, Reading, Rule } from "./limiter.ts";
import { type Answer, leasedBurst, RedisCalls, type RedisLimiterOptions } from "./redis-calls.ts";
import { createRedisLimiter } from "./redis-limiter.ts";
import { capacityOf } from "./rule-arithmetic.ts";

export interface LeaseOptions extends RedisLimiterOptions {
  /** Most of a rule that this thread has in hand, such as 0.1. */
  readonly share: number;
  /** How long it may use a batch; at most a tenth of each window, and of the time in which a bucket fills. */
  readonly leaseMs: number;
}

export interface LeaseLimiter extends Limiter {
  /** Gives back what is in hand. */
  close(): Promise<void>;
}

/** Keys with something in hand; requests of others ask each time. */
const MOST_HANDS = 10_000;
const SHORTEST_SWEEP_MS = 20;

/**
 * @param store one that runs scripts
 * @returns one that asks each time if no lease can be of use: windows of less than 10 ms, fewer units than one
 */
export function createLeaseLimiter(
  scope: string,
  plan: Plan,
  store: KeyValueStore,
  options: LeaseOptions,
): LeaseLimiter {
  const leaseMs = Math.floor(Math.min(options.leaseMs, ...plan.rules.map(longestLease)));
  const most = Math.floor(options.share * Math.min(...plan.rules.map((rule) => unitsOf(rule, leaseMs))));
  if (leaseMs >= 1 && most >= 1) return new Leases(scope, plan, store, options, leaseMs, most);
  const exact = createRedisLimiter(scope, plan, store, options);
  return Object.assign(exact, { close: async () => {} });
}

function longestLease({ algorithm, windowMs, count, burst }: Rule): number {
  const isBucket = algorithm === "token-bucket" || algorithm === "hybrid";
  return (windowMs / 10) * (isBucket ? Math.min(1, burst / count) : 1);
}

/** The most that a rule ever has. */
function unitsOf(rule: Rule, leaseMs: number): number {
  return capacityOf({ ...rule, burst: leasedBurst(rule, leaseMs) });
}

class Leases implements LeaseLimiter {
  readonly #calls: RedisCalls;
  readonly #plan: Plan;
  readonly #leaseMs: number;
  /** Most units in hand. */
  readonly #most: number;
  readonly #now: () => number;
  readonly #bans: KnownBans;
  readonly #hands = new Map<string, Hand>();
  /** Refusals that the store is told of at once. */
  readonly #told: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    scope: string,
    plan: Plan,
    store: KeyValueStore,
    options: LeaseOptions,
    leaseMs: number,
    most: number,
  ) {
    this.#calls = new RedisCalls(scope, plan, store, options, leaseMs);
    this.#plan = plan;
    this.#leaseMs = leaseMs;
    this.#most = most;
    this.#now = options.now ?? (() => performance.now());
    this.#bans = new KnownBans(this.#now);
    this.#told = Math.ceil((plan.ban?.after ?? Number.POSITIVE_INFINITY) / 10);
  }

  take(key: string, cost: number): Decision | Promise<Decision> {
    const banned = this.#bans.find(key);
    if (banned !== undefined) return banned;
    const hand = this.#hands.get(key);
    if (hand === undefined) return this.#begin(key, cost);
    const now = this.#now();
    const decision = hand.take(cost, now);
    if (decision === undefined) return this.#wait(key, hand, cost);
    if (hand.refusals >= this.#told) void this.#tell(key, hand);
    else if (hand.isLow(this.#leaseMs, now)) this.#borrow(key, hand, now);
    return decision;
  }

  async settle(key: string, { at }: Decision, by: number): Promise<void> {
    const hand = this.#hands.get(key);
    const now = this.#now();
    if (by > 0) {
      const missing = hand?.charge(by, now) ?? by;
      if (missing > 0) await this.#calls.settle(key, missing, at);
    } else if (by < 0 && hand?.putBack(-by, at, now) !== true) {
      await this.#calls.giveBack(key, -by, at);
    }
  }

  async read(key: string): Promise<Reading> {
    const reading = await this.#calls.read(key);
    return this.#hands.get(key)?.complete(reading) ?? reading;
  }

  reset(key: string): Promise<void> {
    this.#forget(key);
    return this.#calls.reset(key);
  }

  ban(key: string, forMs: number): Promise<void> {
    this.#forget(key);
    return this.#calls.ban(key, forMs);
  }

  bans(): Promise<readonly Ban[]> {
    return this.#calls.bans();
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await Promise.all(Array.from(this.#hands.values(), ({ fetching }) => fetching?.catch(() => {})));
    await Promise.all(
      [...this.#hands].flatMap(([key, hand]) => this.#tidy(key, hand, Number.POSITIVE_INFINITY)),
    );
    this.#hands.clear();
  }

  async #begin(key: string, cost: number): Promise<Decision> {
    if (this.#hands.size >= MOST_HANDS) return (await this.#calls.take(key, cost)).decision;
    const hand = new Hand(this.#now());
    this.#hands.set(key, hand);
    this.#timer ??= setTimeout(this.#sweep, Math.max(SHORTEST_SWEEP_MS, this.#leaseMs)).unref();
    return this.#wait(key, hand, cost);
  }

  /** Those who wait share what one of them asks for; who gets nothing of it asks next. */
  async #wait(key: string, hand: Hand, cost: number): Promise<Decision> {
    hand.wanted += cost;
    try {
      while (hand.fetching !== undefined) {
        await hand.fetching;
        // A reset, a ban, or the end: nobody uses any more what this hand has.
        if (this.#hands.get(key) !== hand) return this.take(key, cost);
        const decision = hand.take(cost, this.#now());
        if (decision !== undefined) return decision;
      }
      const now = this.#now();
      void this.#tidy(key, hand, now);
      const more = hand.wanted - cost;
      const answer = this.#calls.take(key, cost, more, hand.ahead(this.#leaseMs, this.#most, now));
      return await this.#fetch(key, hand, answer, cost, now);
    } finally {
      hand.wanted -= cost;
    }
  }

  #borrow(key: string, hand: Hand, now: number): void {
    void this.#tidy(key, hand, now);
    const ahead = hand.ahead(this.#leaseMs, this.#most, now);
    if (ahead === 0) return;
    this.#fetch(key, hand, this.#calls.borrow(key, ahead), 0, now).catch(() => {}); // who needs them asks again
  }

  #fetch(key: string, hand: Hand, answer: Promise<Answer>, cost: number, askedAt: number): Promise<Decision> {
    hand.fetching = this.#hear(key, hand, answer, cost, askedAt);
    return hand.fetching;
  }

  async #hear(
    key: string,
    hand: Hand,
    answer: Promise<Answer>,
    cost: number,
    askedAt: number,
  ): Promise<Decision> {
    try {
      const heard = await answer;
      const now = this.#now();
      // A reset or a ban meanwhile: what was lent is not for use any more.
      if (this.#hands.get(key) !== hand) return heard.decision;
      if (heard.decision.outcome === "banned") {
        this.#hands.delete(key);
        this.#bans.add(key, heard.decision);
        return heard.decision;
      }
      return hand.hear(heard, cost, askedAt, now, this.#plan.countRejected ? 0 : this.#leaseMs);
    } finally {
      hand.fetching = undefined;
    }
  }

  /** Tells of refusals, which may lead to a ban. */
  async #tell(key: string, hand: Hand): Promise<void> {
    const { refusals } = hand;
    hand.refusals = 0;
    const bannedMs = await this.#calls.refuse(key, refusals).catch(() => 0); // counted as a failure of the store
    hand.beginsBan ||= bannedMs > 0;
  }

  #forget(key: string): void {
    this.#bans.delete(key);
    this.#hands.delete(key);
  }

  readonly #sweep = (): void => {
    const now = this.#now();
    for (const [key, hand] of this.#hands) {
      void this.#tidy(key, hand, now);
      const isIdle = hand.leases.length === 0 && hand.fetching === undefined && hand.wanted === 0;
      if (isIdle && hand.usedAt + this.#leaseMs <= now) this.#hands.delete(key);
    }
    this.#timer =
      this.#hands.size === 0
        ? undefined
        : setTimeout(this.#sweep, Math.max(SHORTEST_SWEEP_MS, this.#leaseMs)).unref();
  };

  #tidy(key: string, hand: Hand, now: number): Promise<unknown>[] {
    const told = hand
      .takeEnded(now)
      .map(({ left, at }) => this.#calls.giveBack(key, left, at).catch(() => {}));
    return hand.refusals > 0 && this.#plan.ban !== undefined ? [...told, this.#tell(key, hand)] : told;
  }
}
