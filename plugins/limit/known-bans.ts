/** Bans that a gateway has heard of from the store: for at most a second, so that those that are lifted are soon asked for. */
import type { Decision } from "./limiter.ts";

const LONGEST_MS = 1000;
const MOST_KEYS = 10_000;

interface KnownBan {
  readonly decision: Decision;
  readonly heardAt: number;
  readonly until: number;
}

export class KnownBans {
  readonly #now: () => number;
  /** Who was heard of first comes first. */
  readonly #bans = new Map<string, KnownBan>();

  /** @param now milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(key: string, decision: Decision): void {
    const heardAt = this.#now();
    this.#bans.delete(key);
    for (const [oldest, { until }] of this.#bans) {
      if (until > heardAt && this.#bans.size < MOST_KEYS) break;
      this.#bans.delete(oldest);
    }
    this.#bans.set(key, { decision, heardAt, until: heardAt + Math.min(decision.retryAfterMs, LONGEST_MS) });
  }

  /** What a request gets whose key is known to be banned. */
  find(key: string): Decision | undefined {
    if (this.#bans.size === 0) return undefined;
    const ban = this.#bans.get(key);
    if (ban === undefined) return undefined;
    const now = this.#now();
    if (now >= ban.until) {
      this.#bans.delete(key);
      return undefined;
    }
    const goneMs = Math.floor(now - ban.heardAt);
    const leftMs = ban.decision.retryAfterMs - goneMs;
    return { ...ban.decision, resetMs: leftMs, retryAfterMs: leftMs, at: ban.decision.at + goneMs };
  }

  delete(key: string): void {
    this.#bans.delete(key);
  }
}
