/** Windows that lie side by side from 00:00 UTC on: one counts what came in the present one, one what came lately. */
import type { SharedCells } from "../../../core/plugin.ts";
import type { Rule } from "../limiter.ts";
import type { Part } from "./part.ts";
import { Word } from "./word.ts";

/** Most that a window counts. */
export const MOST_COUNTED = 2 ** 24 - 1;

/** What both kinds have: their windows, as seen at the latest look. */
abstract class Windows implements Part {
  at = 0;
  remaining = 0;
  resetMs = 0;
  protected readonly count: number;
  protected readonly windowMs: number;
  protected readonly word: Word;
  /** Number of the present window, and how long it lasts yet. */
  protected index = 0;
  protected restMs = 0;
  /** What was counted in it. */
  protected current = 0;
  readonly #offsetMs: number;

  constructor({ count, windowMs }: Rule, cells: SharedCells, utcOffsetMs: number) {
    this.count = count;
    this.windowMs = windowMs;
    this.#offsetMs = utcOffsetMs;
    this.word = new Word(cells);
  }

  /** Looks, and finds `index`, `restMs` and `current`. */
  protected abstract see(now: number): void;
  /** Writes `current` and what belongs to it, if nobody was faster. */
  protected abstract swap(): boolean;
  /** Takes units out of the window with this number. */
  protected abstract takeOut(units: number, index: number): void;
  /** Units that are used up, of `count`. */
  protected abstract get used(): number;
  /** Milliseconds until nothing is used up. */
  protected abstract restUntilWhole(): number;
  abstract waitFor(cost: number): number;

  take(cost: number, now: number): boolean {
    for (;;) {
      this.see(now);
      if (this.used + cost > this.count) {
        this.#tell();
        return false;
      }
      this.current += cost;
      if (cost === 0 || this.swap()) {
        this.#tell();
        return true;
      }
    }
  }

  takeRest(units: number, now: number): void {
    do {
      this.see(now);
      this.current += Math.max(0, Math.min(units, this.count - this.used));
    } while (!this.swap());
    this.#tell();
  }

  charge(units: number, now: number): void {
    do {
      this.see(now);
      this.current = Math.min(this.current + units, MOST_COUNTED);
    } while (!this.swap());
    this.#tell();
  }

  giveBack(units: number, takenAt: number, now: number): void {
    do {
      this.see(now);
      this.takeOut(units, Math.floor((takenAt + this.#offsetMs) / this.windowMs));
    } while (!this.swap());
    this.#tell();
  }

  look(now: number): void {
    this.see(now);
    this.#tell();
  }

  forget(): void {
    this.word.clear(this.at);
  }

  /** Finds out which window it is. @param time on the clock of the limiter */
  protected findWindow(time: number): void {
    const wall = time + this.#offsetMs;
    this.index = Math.floor(wall / this.windowMs);
    this.restMs = (this.index + 1) * this.windowMs - wall;
  }

  /** Another thread's clock is ahead by a moment: the next window has begun. */
  protected skip(): void {
    this.index++;
    this.restMs = this.windowMs;
  }

  #tell(): void {
    this.remaining = Math.max(0, this.count - this.used);
    this.resetMs = this.restUntilWhole();
  }
}

const BYTE = 2 ** 8;
const INDEX_BITS_OF_FIXED = 2 ** 40;

/** In the word pair: the count in the lowest 24 bits, the number of the window above. */
export class FixedWindow extends Windows {
  protected see(now: number): void {
    const { word } = this;
    word.load(this.at);
    this.findWindow(now);
    const ahead = (word.high >>> 0) * BYTE + (word.low >>> 24) - (this.index % INDEX_BITS_OF_FIXED);
    if (ahead === 1) this.skip();
    this.current = ahead === 0 || ahead === 1 ? word.low & MOST_COUNTED : 0;
  }

  protected swap(): boolean {
    const index = this.index % INDEX_BITS_OF_FIXED;
    const high = Math.floor(index / BYTE);
    return this.word.swap(this.at, this.current | ((index - high * BYTE) << 24), high | 0);
  }

  protected takeOut(units: number, index: number): void {
    if (index === this.index) this.current = Math.max(0, this.current - units);
  }

  protected get used(): number {
    return this.current;
  }

  protected restUntilWhole(): number {
    return this.current > 0 ? this.restMs : 0;
  }

  waitFor(cost: number): number {
    return this.current + cost > this.count ? this.restMs : 0;
  }
}

/**
 * In the word pair: what was counted in the present window in the lower half, in the one before in the upper, each
 * below 8 bits of the number of the window.
 */
export class SlidingWindow extends Windows {
  #previous = 0;

  protected see(now: number): void {
    const { word } = this;
    word.load(this.at);
    this.findWindow(now);
    const seen = (word.low >>> 24) | ((word.high >>> 24) << 8);
    const age = (this.index - seen) & 0xffff;
    const current = word.low & MOST_COUNTED;
    this.current = age === 0 ? current : 0;
    this.#previous = age === 0 ? word.high & MOST_COUNTED : age === 1 ? current : 0;
    if (age !== 0xffff || (word.low === 0 && word.high === 0)) return;
    this.skip();
    this.current = current;
    this.#previous = word.high & MOST_COUNTED;
  }

  protected swap(): boolean {
    const low = this.current | (this.index << 24);
    return this.word.swap(this.at, low, this.#previous | ((this.index >> 8) << 24));
  }

  protected takeOut(units: number, index: number): void {
    if (index === this.index) this.current = Math.max(0, this.current - units);
    if (index === this.index - 1) this.#previous = Math.max(0, this.#previous - units);
  }

  protected get used(): number {
    return this.current + (this.#previous === 0 ? 0 : divideUp(this.#previous, this.restMs, this.windowMs));
  }

  protected restUntilWhole(): number {
    if (this.current > 0) return this.restMs + this.windowMs;
    return this.#previous > 0 ? this.restMs : 0;
  }

  waitFor(cost: number): number {
    const { restMs, windowMs, current } = this;
    const room = this.count - cost;
    if (this.used <= room) return 0;
    if (current <= room) {
      const rest = divide(room - current, windowMs, this.#previous);
      if (rest >= 1) return Math.max(0, restMs - rest);
    }
    if (current === 0) return restMs;
    return restMs + windowMs - Math.min(windowMs, divide(room, windowMs, current));
  }

  /** Number of the window at a time. */
  indexAt(now: number): number {
    this.findWindow(now);
    return this.index;
  }

  /** Looks, for `forgetIfSame`. */
  remember(): void {
    this.word.load(this.at);
  }

  /** Forgets what was counted, if nobody has counted since it was remembered. */
  forgetIfSame(): void {
    if (this.word.low !== 0 || this.word.high !== 0) this.word.swap(this.at, 0, 0);
  }

  isEmpty(now: number): boolean {
    this.see(now);
    return this.used === 0;
  }

  /** Moves what another one has counted to here. For a moment it counts in both, and never in none. */
  absorb(other: SlidingWindow, now: number): void {
    for (;;) {
      other.see(now);
      const { current } = other;
      const previous = other.#previous;
      if (current + previous === 0) return;
      this.#add(current, previous, now);
      if (other.word.swap(other.at, 0, 0)) return;
      this.#add(-current, -previous, now);
    }
  }

  #add(current: number, previous: number, now: number): void {
    do {
      this.see(now);
      this.current = Math.max(0, Math.min(this.current + current, MOST_COUNTED));
      this.#previous = Math.max(0, Math.min(this.#previous + previous, MOST_COUNTED));
    } while (!this.swap());
  }
}

/** a · b / c, rounded down, exactly. */
function divide(a: number, b: number, c: number): number {
  const product = a * b;
  if (product <= Number.MAX_SAFE_INTEGER) return Math.floor(product / c);
  return Number((BigInt(a) * BigInt(b)) / BigInt(c));
}

/** The same, rounded up. */
function divideUp(a: number, b: number, c: number): number {
  const product = a * b;
  if (product <= Number.MAX_SAFE_INTEGER) return Math.ceil(product / c);
  return Number((BigInt(a) * BigInt(b) + BigInt(c - 1)) / BigInt(c));
}
