/**
 * Counts a rule in one cell a key: a bucket, a window, or both (`hybrid`).
 *
 * A bucket's content means nothing at another rate, so each rate has cells of its own; what a key has consumed is
 * moved to where it is counted now. Only one cell of a key has something in it: the others need to be looked at only
 * for a key that was away for so long that its cell may have been gone.
 */
import type { SharedCells } from "../../../core/plugin.ts";
import type { Rule } from "../limiter.ts";
import { capacityOf } from "../rule-arithmetic.ts";
import { Bucket } from "./bucket.ts";
import type { Counter } from "./counter.ts";
import type { Part } from "./part.ts";
import { FixedWindow, SlidingWindow } from "./windows.ts";

/** Cells stay so much longer than asked for, at least. */
const GRACE_MS = 3500;
/** Rates whose consumption is looked for: the latest. */
const MOST_RATES = 16;
/** Windows that are told apart by their numbers, at least: those of a cell that nobody used for longer are nothing. */
const INDEX_STEP = 2 ** 8;

/** Counters of buckets of the same rule at different rates, the latest last; kept over reloads. */
export class Rates {
  readonly counters: CellCounter[] = [];

  add(counter: CellCounter): void {
    const same = this.counters.findIndex(({ prefix }) => prefix === counter.prefix);
    if (same !== -1) this.counters.splice(same, 1);
    this.counters.push(counter);
    if (this.counters.length > MOST_RATES) this.counters.shift();
  }
}

export class CellCounter implements Counter {
  readonly capacity: number;
  readonly prefix: string;
  remaining = 0;
  resetMs = 0;
  readonly #cells: SharedCells;
  readonly #windowMs: number;
  readonly #rates: Rates;
  readonly #bucket: Bucket | undefined;
  readonly #window: SlidingWindow | undefined;
  /** What decides, and what decides then. */
  readonly #first: Part;
  readonly #second: Part | undefined;
  #cell = -1;
  #key = "";

  /** @param prefix of its keys: says whose counts they are, and of which rule */
  constructor(rule: Rule, prefix: string, cells: SharedCells, utcOffsetMs: number, rates: Rates) {
    const { algorithm, count, windowMs } = rule;
    this.#cells = cells;
    this.#rates = rates;
    this.#windowMs = windowMs;
    const isBucket = algorithm === "token-bucket" || algorithm === "hybrid";
    const isSliding = algorithm === "sliding-window-counter" || algorithm === "hybrid";
    this.#bucket = isBucket ? new Bucket(rule, cells) : undefined;
    this.#window = isSliding ? new SlidingWindow(rule, cells, utcOffsetMs) : undefined;
    this.#first = this.#bucket ?? this.#window ?? new FixedWindow(rule, cells, utcOffsetMs);
    this.#second = isBucket ? this.#window : undefined;
    this.capacity = capacityOf(rule);
    this.prefix = isBucket ? `${prefix}${count}\0` : prefix;
    if (isBucket) rates.add(this);
  }

  locate(key: string, now: number): boolean {
    const cell = this.#cells.locate(this.prefix + key, 0, now);
    if (cell === -1) return false;
    this.#place(cell);
    this.#key = key;
    if (this.#bucket !== undefined) {
      const isAlone = this.#rates.counters.length < 2;
      const isNew = isAlone ? this.#bucket.isFullSince(now - GRACE_MS) : this.#bucket.isFull(now);
      if (isNew) this.#renew(this.#bucket, key, now);
    } else if (this.#window !== undefined) this.#renewWindow(this.#window, now);
    return true;
  }

  read(key: string, now: number): void {
    for (const other of this.#rates.counters) {
      if (other === this || other.#cells.find(other.prefix + key, now) === -1) continue;
      // Something is counted there, so it is no more than a change of place to count it here.
      this.locate(key, now);
      break;
    }
    this.#place(this.#cells.find(this.prefix + key, now));
    if (this.#cell !== -1) this.look(now);
    else {
      this.remaining = this.capacity;
      this.resetMs = 0;
    }
  }

  take(cost: number, now: number): boolean {
    const isTaken = this.#takeBoth(cost, now);
    this.#tell(now);
    if (isTaken && this.#rates.counters.length > 1 && this.#bucket?.wasFull === true) this.#gather(now);
    return isTaken;
  }

  takeRest(units: number, now: number): void {
    this.#first.takeRest(units, now);
    this.#second?.takeRest(units, now);
    this.#tell(now);
  }

  charge(units: number, now: number): void {
    this.#first.charge(units, now);
    this.#second?.charge(units, now);
    this.#tell(now);
    if (this.#rates.counters.length > 1) this.#gather(now);
  }

  giveBack(units: number, takenAt: number, now: number): void {
    this.#first.giveBack(units, takenAt, now);
    this.#second?.giveBack(units, takenAt, now);
    this.#tell(now);
  }

  look(now: number): void {
    this.#first.look(now);
    this.#second?.look(now);
    this.#tell(now);
  }

  waitFor(cost: number): number {
    const wait = this.#first.waitFor(cost);
    return this.#second === undefined ? wait : Math.max(wait, this.#second.waitFor(cost));
  }

  forget(key: string, now: number): void {
    this.#forgetHere(key, now);
    for (const other of this.#rates.counters) other.#forgetHere(key, now);
  }

  #forgetHere(key: string, now: number): void {
    this.#place(this.#cells.find(this.prefix + key, now));
    if (this.#cell === -1) return;
    this.#first.forget();
    this.#second?.forget();
  }

  #place(cell: number): void {
    this.#cell = cell;
    this.#first.at = cell;
    if (this.#second !== undefined) this.#second.at = cell + 2;
  }

  #takeBoth(cost: number, now: number): boolean {
    const second = this.#second;
    if (second === undefined) return this.#first.take(cost, now);
    if (!this.#first.take(cost, now)) {
      second.look(now);
      return false;
    }
    if (second.take(cost, now)) return true;
    this.#first.giveBack(cost, now, now);
    return false;
  }

  #tell(now: number): void {
    const { remaining, resetMs } = this.#first;
    const second = this.#second;
    this.remaining = second === undefined ? remaining : Math.min(remaining, second.remaining);
    this.resetMs = second === undefined ? resetMs : Math.max(resetMs, second.resetMs);
    if (this.resetMs > 0) this.#cells.prolong(this.#cell, this.resetMs, now);
  }

  /** The key was away: what it consumed at another rate is moved to here. */
  #renew(bucket: Bucket, key: string, now: number): void {
    const window = this.#window;
    if (window !== undefined) {
      window.remember();
      if (bucket.isFullSince(now - 2 * this.#windowMs)) window.forgetIfSame();
    }
    const { counters } = this.#rates;
    if (counters.length < 2) return;
    for (const other of counters) {
      if (other.prefix === this.prefix) continue;
      const cell = this.#cells.find(other.prefix + key, now);
      if (cell === -1) continue;
      other.#place(cell);
      this.#absorb(other, now);
    }
  }

  /**
   * Other threads may count the key at other rates in the same moment, each where it saw nothing counted elsewhere.
   * Looking again after it has counted, one of them sees the other; and all gather in the same place.
   */
  #gather(now: number): void {
    let into: CellCounter = this;
    for (const other of this.#rates.counters) {
      if (other.prefix === this.prefix) continue;
      const cell = this.#cells.find(other.prefix + this.#key, now);
      if (cell === -1) continue;
      other.#place(cell);
      if (other.#bucket!.isFull(now) && other.#window?.isEmpty(now) !== false) continue;
      const isBehind = other.prefix < into.prefix;
      if (isBehind) into.#absorb(other, now);
      else other.#absorb(into, now);
      if (!isBehind) into = other;
    }
  }

  /** The bucket last: as long as it has something in it, nobody looks elsewhere. */
  #absorb(other: CellCounter, now: number): void {
    this.#window?.absorb(other.#window!, now);
    this.#bucket!.absorb(other.#bucket!, now);
    this.#tell(now);
  }

  /**
   * Numbers of windows begin anew after 65,536 of them, and a cell may be left as it was for as long: so the word
   * behind the counts says about when they were made.
   */
  #renewWindow(window: SlidingWindow, now: number): void {
    const { words } = this.#cells;
    const stamp = (window.indexAt(now) / INDEX_STEP) | 0;
    window.remember();
    const seen = Atomics.load(words, this.#cell + 2);
    if (seen === stamp) return;
    if (seen !== stamp - 1 && seen !== stamp + 1) window.forgetIfSame();
    Atomics.store(words, this.#cell + 2, stamp);
  }
}
