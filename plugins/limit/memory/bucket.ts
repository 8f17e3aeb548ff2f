/**
 * A token bucket as GCRA: all that is kept is when the bucket will be full again. The time is in milliseconds and
 * ticks, of which a millisecond has as many as make a unit a whole number of them: 100 units in a minute are 600
 * milliseconds each, 7 units in a second are 1000 ticks each of which a millisecond has 7. So nothing is ever rounded.
 *
 * In the word pair: ticks in the lowest 17 bits, milliseconds above.
 */
import type { SharedCells } from "../../../core/plugin.ts";
import type { Rule } from "../limiter.ts";
import { MOST_HELD, MOST_TICKS, ticksOf } from "../rule-arithmetic.ts";
import type { Part } from "./part.ts";
import { Word } from "./word.ts";

const TICK_BITS = 17;
const TICKS = 2 ** TICK_BITS - 1;
const LOW_MS_BITS = 32 - TICK_BITS;
const LOW_MS = 2 ** LOW_MS_BITS;
/** Ticks that may be owed. */
const MOST_OWED = 2 ** 52;
/** Milliseconds that it may take until a bucket is full again, and what is owed is paid. */
const LONGEST_FILL_MS = 2 ** 44;
const LONGEST_DEBT_MS = 2 ** 45;

export class Bucket implements Part {
  at = 0;
  remaining = 0;
  resetMs = 0;
  /** Nothing was consumed before the latest take that succeeded. */
  wasFull = false;
  /** Ticks of a unit, of a millisecond, and of the whole bucket. */
  readonly #unit: number;
  readonly #gain: number;
  readonly #full: number;
  readonly #mostOwed: number;
  readonly #word: Word;
  #used = 0;

  constructor(rule: Rule, cells: SharedCells) {
    const { unit, gain } = ticksOf(rule);
    this.#unit = unit;
    this.#gain = gain;
    this.#full = rule.burst * unit;
    this.#mostOwed = Math.min(MOST_OWED, gain * LONGEST_DEBT_MS);
    this.#word = new Word(cells);
  }

  take(cost: number, now: number): boolean {
    for (;;) {
      const seen = this.#look(now);
      const used = seen + cost * this.#unit;
      if (used > this.#full) {
        this.#tell(seen);
        return false;
      }
      if (cost === 0 || this.#swap(used, now)) {
        this.wasFull = seen === 0;
        this.#tell(used);
        return true;
      }
    }
  }

  takeRest(units: number, now: number): void {
    const more = units * this.#unit;
    let used: number;
    do {
      const seen = this.#look(now);
      used = Math.max(seen, Math.min(seen + more, this.#full));
    } while (!this.#swap(used, now));
    this.#tell(used);
  }

  charge(units: number, now: number): void {
    this.#add(units * this.#unit, now);
  }

  giveBack(units: number, _takenAt: number, now: number): void {
    this.#add(-units * this.#unit, now);
  }

  look(now: number): void {
    this.#tell(this.#look(now));
  }

  waitFor(cost: number): number {
    return Math.ceil(Math.max(0, this.#used + cost * this.#unit - this.#full) / this.#gain);
  }

  forget(): void {
    this.#word.clear(this.at);
  }

  /** Whether it has been full for so long that its cell may have been gone meanwhile. */
  isFullSince(time: number): boolean {
    this.#word.load(this.at);
    return this.#fullAt() < time;
  }

  isFull(now: number): boolean {
    return this.#look(now) === 0;
  }

  /** Moves what another one has consumed to here. For a moment it counts in both, and never in none. */
  absorb(other: Bucket, now: number): void {
    for (;;) {
      const ticks = Math.round((other.#look(now) / other.#unit) * this.#unit);
      if (ticks > 0) this.#add(ticks, now);
      if (other.#word.swap(other.at, 0, 0)) return;
      if (ticks > 0) this.#add(-ticks, now);
    }
  }

  #add(ticks: number, now: number): void {
    let used: number;
    do used = Math.max(0, Math.min(this.#look(now) + ticks, this.#mostOwed));
    while (!this.#swap(used, now));
    this.#tell(used);
  }

  #fullAt(): number {
    return (this.#word.high >>> 0) * LOW_MS + (this.#word.low >>> TICK_BITS);
  }

  /** Ticks that are consumed. */
  #look(now: number): number {
    const word = this.#word;
    word.load(this.at);
    const used = (this.#fullAt() - now) * this.#gain + (word.low & TICKS);
    return used > 0 ? used : 0;
  }

  #swap(used: number, now: number): boolean {
    const ms = Math.floor(used / this.#gain);
    const time = now + ms;
    const high = Math.floor(time / LOW_MS);
    const low = ((time - high * LOW_MS) << TICK_BITS) | (used - ms * this.#gain);
    return this.#word.swap(this.at, low, high | 0);
  }

  #tell(used: number): void {
    this.#used = used;
    const left = this.#full - used;
    this.remaining = left <= 0 ? 0 : Math.floor(left / this.#unit);
    this.resetMs = Math.ceil(used / this.#gain);
  }
}

/** Why a bucket cannot count a rule, if so. */
export function bucketProblem(rule: Rule): string | undefined {
  const { unit, gain } = ticksOf(rule);
  if (gain > MOST_TICKS) {
    return "the rate is too fine to be counted exactly: take a rounder number, one that the milliseconds of its time divide better";
  }
  const most = Math.min(MOST_HELD, gain * LONGEST_FILL_MS);
  return rule.burst * unit > most ? "`burst` would take too long to come back: take less" : undefined;
}
