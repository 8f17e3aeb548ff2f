/**
 * How a circuit that has closed again lets requests in: a few percent first, more as time passes and as what it
 * let in goes well. Failures slow it by their share, and are forgotten little by little.
 *
 * All threads work on the same numbers without exchanging them: of outcomes that come in the same instant one may be
 * lost, which makes the share a little larger or smaller for a moment.
 */
import { type CircuitCell, RECOVERY } from "./cell.ts";

/** Share of requests to begin with. */
export const FIRST_SHARE = 0.05;
/** Part of the recovery time in which the memory of outcomes halves. */
const HALF_LIFE = 0.2;

/** Numbers of a recovery, counted from its first. */
const PROGRESS = 0; // from 0 to 1
const AT = 1;
/** What is remembered, fading. */
const REQUESTS = 2;
const FAILURES = 3;
const SLOW = 4;

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
  readonly #cell: CircuitCell;

  constructor(options: RecoveryOptions, cell: CircuitCell) {
    this.#options = options;
    this.#cell = cell;
  }

  begin(now: number): void {
    const { doubles, doublesAt } = this.#cell;
    const first = doublesAt + RECOVERY;
    doubles.fill(0, first, first + SLOW + 1);
    doubles[first + AT] = now;
  }

  /** Whether all requests are let in again, as of the last look. */
  get isOver(): boolean {
    return this.#read(PROGRESS) >= 1;
  }

  /** 1 while nothing fails, 0 when so much does that the circuit should open. */
  get health(): number {
    const { errorRate, slowCallRate, halfOpen } = this.#options;
    const weight = this.#read(REQUESTS) + halfOpen;
    const bad = Math.max(this.#read(FAILURES) / errorRate, this.#read(SLOW) / slowCallRate) / weight;
    return Math.max(0, 1 - bad);
  }

  /** Share of requests to let in now. */
  share(now: number): number {
    this.#advance(now);
    return FIRST_SHARE + (1 - FIRST_SHARE) * this.#read(PROGRESS);
  }

  observe(now: number, isFailure: boolean, isSlow: boolean): void {
    this.#advance(now);
    const { doubles, doublesAt } = this.#cell;
    const first = doublesAt + RECOVERY;
    doubles[first + REQUESTS]!++;
    if (isFailure) doubles[first + FAILURES]!++;
    if (isSlow) doubles[first + SLOW]!++;
  }

  #read(number: number): number {
    const { doubles, doublesAt } = this.#cell;
    return doubles[doublesAt + RECOVERY + number]!;
  }

  #advance(now: number): void {
    const { doubles, doublesAt } = this.#cell;
    const first = doublesAt + RECOVERY;
    const elapsed = Math.max(0, now - doubles[first + AT]!) / this.#options.recoveryMs;
    if (elapsed === 0) return;
    doubles[first + AT] = now;
    const kept = 0.5 ** (elapsed / HALF_LIFE);
    doubles[first + REQUESTS]! *= kept;
    doubles[first + FAILURES]! *= kept;
    doubles[first + SLOW]! *= kept;
    doubles[first + PROGRESS] = Math.min(1, doubles[first + PROGRESS]! + elapsed * this.health);
  }
}
