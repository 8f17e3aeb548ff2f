/**
 * How a circuit that has closed again lets requests in: a few percent first, more as time passes and as what it
 * let in goes well. Failures slow it by their share, and are forgotten little by little.
 */

/** Share of requests to begin with. */
export const FIRST_SHARE = 0.05;
/** Part of the recovery time in which the memory of outcomes halves. */
const HALF_LIFE = 0.2;

export interface RecoveryOptions {
  /** Time from the first share to all, when nothing fails. */
  readonly recoveryMs: number;
  /** Share of failures, and of slow calls, at which there is no progress, and the circuit opens again. */
  readonly errorRate: number;
  readonly slowCallRate: number;
  /** How many requests have gone well before: they weigh against the first failures. */
  readonly halfOpen: number;
}

export class Recovery {
  readonly #options: RecoveryOptions;
  /** From 0 to 1. */
  #progress = 0;
  #at: number;
  /** What is remembered, fading. */
  #requests = 0;
  #failures = 0;
  #slow = 0;

  constructor(options: RecoveryOptions, now: number) {
    this.#options = options;
    this.#at = now;
  }

  /** Whether all requests are let in again, as of the last look. */
  get isOver(): boolean {
    return this.#progress >= 1;
  }

  /** 1 while nothing fails, 0 when so much does that the circuit should open. */
  get health(): number {
    const { errorRate, slowCallRate, halfOpen } = this.#options;
    const weight = this.#requests + halfOpen;
    const bad = Math.max(this.#failures / errorRate, this.#slow / slowCallRate) / weight;
    return Math.max(0, 1 - bad);
  }

  /** Share of requests to let in now. */
  share(now: number): number {
    this.#advance(now);
    return FIRST_SHARE + (1 - FIRST_SHARE) * this.#progress;
  }

  observe(now: number, isFailure: boolean, isSlow: boolean): void {
    this.#advance(now);
    this.#requests++;
    if (isFailure) this.#failures++;
    if (isSlow) this.#slow++;
  }

  #advance(now: number): void {
    const { recoveryMs } = this.#options;
    const elapsed = Math.max(0, now - this.#at) / recoveryMs;
    if (elapsed === 0) return;
    this.#at = now;
    const kept = 0.5 ** (elapsed / HALF_LIFE);
    this.#requests *= kept;
    this.#failures *= kept;
    this.#slow *= kept;
    this.#progress = Math.min(1, this.#progress + elapsed * this.health);
  }
}
