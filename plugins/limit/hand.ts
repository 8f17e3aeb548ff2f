/** What a gateway knows and has of a key that it leases units for: mere bookkeeping, on the gateway's own clock. */
import type { Decision, Reading } from "./limiter.ts";
import type { Answer } from "./redis-calls.ts";

/** Units that the store has counted already. */
export interface Lease {
  left: number;
  /** When they were counted, on the store's clock. */
  readonly at: number;
  /** When they may not be used any more. */
  readonly endsAt: number;
}

/** Replies that a fetch is begun ahead of the end. */
const FETCHES_AHEAD = 4;
/** A batch is at most so many times what was used since the last. */
const GROWTH = 4;

/** Who was refused is for a part of a lease: where room comes unit by unit, each would cost a call. */
const PAUSES = 10;

export class Hand {
  /** Those that end first come first; two at most, mostly. */
  readonly leases: Lease[] = [];
  /** Units that requests wait for. */
  wanted = 0;
  /** Under way, with whatever was asked. */
  fetching: Promise<Decision> | undefined;
  /** Refusals that the store has not heard of. */
  refusals = 0;
  /** A ban has begun by those that it has heard of. */
  beginsBan = false;
  usedAt: number;
  #answer: Decision | undefined;
  #answeredAt = 0;
  #refusal: Decision | undefined;
  #refusedCost = 0;
  #refusedUntil = 0;
  #used = 0;
  #askedAt: number;
  #roundTripMs = 0;
  #wasDry = false;

  constructor(now: number) {
    this.usedAt = now;
    this.#askedAt = now;
  }

  get left(): number {
    let left = 0;
    for (const lease of this.leases) left += lease.left;
    return left;
  }

  /** What a request gets that needs no store. */
  take(cost: number, now: number): Decision | undefined {
    this.usedAt = now;
    for (const lease of this.leases) {
      if (lease.endsAt <= now || lease.left < Math.max(cost, 1)) continue;
      lease.left -= cost;
      this.#used += cost;
      return this.#allowed(cost, lease.at, now);
    }
    return this.#refuse(cost, now);
  }

  /** Takes some of what is left for what was charged later. Gives what is missing. */
  charge(units: number, now: number): number {
    let missing = units;
    for (const lease of this.leases) {
      if (lease.endsAt <= now) continue;
      const taken = Math.min(lease.left, missing);
      lease.left -= taken;
      missing -= taken;
    }
    this.#used += units - missing;
    return missing;
  }

  /** Puts units back into the lease that they were of. Gives whether it can still be used. */
  putBack(units: number, at: number, now: number): boolean {
    const lease = this.leases.find((each) => each.at === at && each.endsAt > now);
    if (lease === undefined) return false;
    lease.left += units;
    return true;
  }

  /** Units to ask for beside those that are wanted: what is used in a lease's time, up to what may be in hand. */
  ahead(leaseMs: number, most: number, now: number): number {
    const perLease = (this.#used / Math.max(1, now - this.#askedAt)) * leaseMs;
    return Math.max(0, Math.floor(Math.min(perLease, GROWTH * this.#used, most - this.left)));
  }

  /** Whether it is time to ask for more, so that nobody waits. */
  isLow(leaseMs: number, now: number): boolean {
    if (this.fetching !== undefined || this.#wasDry) return false;
    let live: Lease | undefined;
    for (const lease of this.leases) {
      if (lease.left === 0 || lease.endsAt <= now) continue;
      if (live !== undefined) return false;
      live = lease;
    }
    if (live === undefined) return false;
    const aheadMs = FETCHES_AHEAD * this.#roundTripMs;
    const soon = (this.#used / Math.max(1, now - this.#askedAt)) * Math.min(aheadMs, leaseMs / 2);
    return live.left <= soon || live.endsAt - now <= Math.min(aheadMs, leaseMs / 4);
  }

  /** Takes in what the store has said to a request, or to nobody, with no cost. Gives what the request gets. */
  hear(answer: Answer, cost: number, askedAt: number, now: number, refusedMs: number): Decision {
    const { decision, lent, lentMs } = answer;
    this.#roundTripMs = now - askedAt;
    this.#askedAt = askedAt;
    this.#used = cost;
    this.#wasDry = lent === 0;
    this.#answeredAt = now;
    this.#refusal = undefined;
    if (decision.outcome === "allowed") {
      this.#answer = decision;
      if (lent > 0) this.leases.push({ left: lent, at: decision.at, endsAt: askedAt + lentMs });
      return this.#allowed(cost, decision.at, now);
    }
    if (cost === 0) return decision;
    const retryAfterMs = Math.max(decision.retryAfterMs, Math.ceil(refusedMs / PAUSES));
    this.#refusedCost = cost;
    this.#refusedUntil = now + Math.min(retryAfterMs, refusedMs);
    this.#refusal = { ...decision, retryAfterMs };
    return this.#refusal;
  }

  /** Takes out leases that nobody can use any more. */
  takeEnded(now: number): Lease[] {
    const ended = this.leases.filter(({ endsAt, left }) => endsAt <= now || left === 0);
    for (const lease of ended) this.leases.splice(this.leases.indexOf(lease), 1);
    return ended.filter(({ left }) => left > 0);
  }

  /** What the store says is left, with what is in hand. */
  complete({ rules, bannedForMs }: Reading): Reading {
    const { left } = this;
    return { rules: rules.map((rule) => ({ ...rule, remaining: rule.remaining + left })), bannedForMs };
  }

  #allowed(cost: number, at: number, now: number): Decision {
    const { rule, remaining, resetMs } = this.#answer!;
    return {
      outcome: "allowed",
      rule,
      remaining: remaining + this.left,
      resetMs: Math.max(1, Math.ceil(resetMs - (now - this.#answeredAt))),
      retryAfterMs: 0,
      cost,
      beginsBan: false,
      at,
    };
  }

  #refuse(cost: number, now: number): Decision | undefined {
    if (this.#refusal === undefined || cost < this.#refusedCost || now >= this.#refusedUntil)
      return undefined;
    const goneMs = Math.floor(now - this.#answeredAt);
    this.refusals++;
    const { beginsBan } = this;
    this.beginsBan = false;
    const { resetMs, retryAfterMs, at } = this.#refusal;
    return {
      ...this.#refusal,
      beginsBan,
      resetMs: Math.max(0, resetMs - goneMs),
      retryAfterMs: retryAfterMs - goneMs,
      at: at + goneMs,
    };
  }
}
