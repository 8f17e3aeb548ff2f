/**
 * Counts a rule exactly: when each unit was taken, to the millisecond. There is a slot for each unit that the rule has
 * in its window, with the time at which it was taken; who wants one puts the time into a slot whose time is over. As
 * there are no more slots than units, no more can be taken, however threads race. What is charged beyond lies in slots
 * behind those, and moves forward as soon as there is one.
 *
 * Times are the lowest 32 bits of the milliseconds.
 */
import type { SharedCells } from "../../../core/plugin.ts";
import type { Rule } from "../limiter.ts";
import type { Counter } from "./counter.ts";
import { LogCells } from "./log-cells.ts";

export const MOST_LOGGED = 10_000;
/** Longest window: no time is older than twice that when it is made sure that none is too old. */
export const LONGEST_LOG_MS = 20 * 86_400_000;
/** Ages from here on are of times to come: the clock of another thread was ahead by a moment. */
const TO_COME = 2 ** 32 - 60_000;
/** How often it is made sure that no time is too old, in milliseconds. */
const SWEEP_MS = 2 ** 24;
/** Tries to get all of several slots while other threads do the same. */
const ATTEMPTS = 64;
/** Slots that a key may have in all. */
const MOST_SLOTS = 3 * MOST_LOGGED;

export class LogCounter implements Counter {
  readonly capacity: number;
  remaining = 0;
  resetMs = 0;
  readonly #windowMs: number;
  readonly #cells: LogCells;
  readonly #words: Int32Array<SharedArrayBuffer>;
  /** What the latest look has found: units in use, the greatest age, and where the first free slot may be. */
  #used = 0;
  #oldest = 0;
  #free = 0;
  #now = 0;
  /** There was no room for a cell of slots. */
  #isCramped = false;
  /** Words of the slots that the latest step has taken. */
  readonly #taken: number[] = [];

  /** @param cells that stay for some seconds once they are found; `areSteady` is false for those that may go at once */
  constructor({ count, windowMs }: Rule, prefix: string, cells: SharedCells, areSteady: boolean) {
    this.capacity = count;
    this.#windowMs = windowMs;
    this.#cells = new LogCells(cells, prefix, windowMs, areSteady);
    this.#words = cells.words;
  }

  locate(key: string, now: number): boolean {
    if (!this.#cells.locate(key, now)) return false;
    const swept = Math.floor(now / SWEEP_MS) | 0;
    if (Atomics.load(this.#words, this.#cells.sweptAt) !== swept) this.#sweep(swept, now);
    return true;
  }

  read(key: string, now: number): void {
    if (this.#cells.has(key, now) && this.locate(key, now)) {
      this.look(now);
      return;
    }
    this.remaining = this.capacity;
    this.resetMs = 0;
  }

  take(cost: number, now: number): boolean {
    if (cost > 0 && this.#isKnownFull(now)) return false;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      this.#pay(now);
      this.look(now);
      if (this.#used + cost > this.capacity) return false;
      if (this.#fill(cost, this.#free, this.capacity, now) === cost) {
        this.#used += cost;
        this.remaining = Math.max(0, this.capacity - this.#used);
        if (cost > 0) this.resetMs = this.#windowMs;
        return true;
      }
      this.#undo(now);
      if (this.#isCramped) return false;
    }
    return false;
  }

  takeRest(units: number, now: number): void {
    this.look(now);
    const rest = Math.min(units, this.capacity - this.#used);
    if (rest > 0) this.#fill(rest, this.#free, this.capacity, now);
    if (rest > 0) this.look(now);
  }

  charge(units: number, now: number): void {
    // One more than there are slots of the rule is as much as any number: they all go at the same time.
    const all = Math.min(units, this.capacity + 1);
    let left = all - this.#fill(all, 0, this.capacity, now);
    for (let end = this.capacity; left > 0 && end < MOST_SLOTS && !this.#isCramped; ) {
      end = Math.min(Math.max(this.#cells.top, end) + left, MOST_SLOTS);
      left -= this.#fill(left, this.capacity, end, now);
      // Who found nothing there meanwhile may have lowered it.
      this.#cells.raiseTop(end);
    }
    this.#cells.change();
    this.look(now);
  }

  giveBack(units: number, takenAt: number, now: number): void {
    const time = timeOf(takenAt);
    let left = units;
    const slots = this.#slots(now);
    for (let cell = 0; cell < this.#cells.countFor(slots) && left > 0; cell++) {
      const word = this.#cells.wordAt(cell);
      const end = word + this.#inCell(cell, slots);
      for (let at = word; word !== -1 && at < end && left > 0; at++) {
        if (Atomics.compareExchange(this.#words, at, time, 0) === time) left--;
      }
    }
    this.#cells.change();
    this.#pay(now);
    this.look(now);
  }

  look(now: number): void {
    if (this.#isKnownFull(now)) return;
    const words = this.#words;
    const windowMs = this.#windowMs;
    const changes = this.#cells.changes;
    const slots = this.#slots(now);
    const cells = this.#cells.countFor(slots);
    let used = 0;
    let oldest = 0;
    let newest = windowMs;
    let free = -1;
    for (let cell = 0; cell < cells; cell++) {
      const word = this.#cells.wordAt(cell);
      const count = this.#inCell(cell, slots);
      if (word === -1) {
        if (free === -1) free = this.#cells.slotAt(cell);
        continue;
      }
      for (let i = 0; i < count; i++) {
        const taken = words[word + i]!; // read plainly, in half the time: whoever takes a slot looks at it once more
        const age = taken === 0 ? windowMs : ageOf(taken, now);
        if (age < windowMs) {
          used++;
          if (age > oldest) oldest = age;
          if (age < newest) newest = age;
        } else if (free === -1) free = this.#cells.slotAt(cell) + i;
      }
    }
    this.#now = now;
    this.#used = used;
    this.#oldest = oldest;
    this.#free = free === -1 ? slots : free;
    this.remaining = Math.max(0, this.capacity - used);
    this.resetMs = windowMs - newest;
    if (used !== this.capacity || cells === 1) return;
    const { log } = this.#cells;
    log.changes = changes;
    log.fullUntil = now + windowMs - oldest;
    log.wholeAt = now + this.resetMs;
  }

  waitFor(cost: number): number {
    const missing = this.#used + cost - this.capacity;
    if (missing <= 0) return 0;
    if (missing === 1) return this.#windowMs - this.#oldest;
    const ages: number[] = [];
    const slots = this.#slots(this.#now);
    for (let cell = 0; cell < this.#cells.countFor(slots); cell++) {
      const word = this.#cells.wordAt(cell);
      for (let i = 0; word !== -1 && i < this.#inCell(cell, slots); i++) {
        const taken = Atomics.load(this.#words, word + i);
        if (taken !== 0 && !this.#isFree(taken, this.#now)) ages.push(ageOf(taken, this.#now));
      }
    }
    ages.sort((a, b) => b - a);
    return Math.max(0, this.#windowMs - (ages[missing - 1] ?? this.#windowMs));
  }

  forget(key: string, now: number): void {
    if (!this.#cells.has(key, now) || !this.locate(key, now)) return;
    const slots = this.#slots(now);
    for (let cell = 0; cell < this.#cells.countFor(slots); cell++) {
      const word = this.#cells.wordAt(cell);
      for (let i = 0; word !== -1 && i < this.#inCell(cell, slots); i++) {
        Atomics.store(this.#words, word + i, 0);
      }
    }
    this.#cells.change();
  }

  /** Nothing is free before some time, unless something changed since that was seen; then says what is known. */
  #isKnownFull(now: number): boolean {
    const { log } = this.#cells;
    if (now >= log.fullUntil || this.#cells.changes !== log.changes) return false;
    this.#now = now;
    this.#used = this.capacity;
    this.#oldest = this.#windowMs - (log.fullUntil - now);
    this.remaining = 0;
    this.resetMs = log.wholeAt - now;
    return true;
  }

  /** Puts the time into free slots from one on to another; gives how many. */
  #fill(units: number, from: number, end: number, now: number): number {
    const words = this.#words;
    const time = timeOf(now);
    const taken = this.#taken;
    taken.length = 0;
    this.#isCramped = false;
    if (units === 0) return 0;
    this.#slots(now);
    for (let cell = this.#cells.cellOf(from); cell < this.#cells.countFor(end); cell++) {
      const first = this.#cells.slotAt(cell);
      const word = this.#wordToFill(cell, now);
      if (word === -1) {
        this.#isCramped = true;
        return taken.length;
      }
      for (let slot = Math.max(first, from); slot < first + this.#inCell(cell, end); slot++) {
        const at = word + slot - first;
        const seen = Atomics.load(words, at);
        if (!this.#isFree(seen, now)) continue;
        this.#cells.raiseTop(slot + 1);
        if (Atomics.compareExchange(words, at, seen, time) !== seen) continue;
        this.#cells.keep(cell, now);
        if (taken.push(at) === units) return units;
      }
    }
    return taken.length;
  }

  /** Frees what the latest fill has taken. */
  #undo(now: number): void {
    for (const at of this.#taken) Atomics.compareExchange(this.#words, at, timeOf(now), 0);
    this.#cells.change();
  }

  /** Moves what is owed to slots of the rule that are free by now. */
  #pay(now: number): void {
    const { capacity } = this;
    const words = this.#words;
    const slots = this.#slots(now);
    if (slots <= capacity) return;
    for (let cell = this.#cells.cellOf(capacity); cell < this.#cells.countFor(slots); cell++) {
      const first = this.#cells.slotAt(cell);
      const word = this.#cells.wordAt(cell);
      if (word === -1) continue;
      for (let slot = Math.max(first, capacity); slot < first + this.#inCell(cell, slots); slot++) {
        const from = word + slot - first;
        const time = Atomics.load(words, from);
        if (this.#isFree(time, now)) continue;
        // As if it had been taken then.
        if (this.#fillAs(time, now) === -1) return;
        if (Atomics.compareExchange(words, from, time, 0) !== time) {
          Atomics.compareExchange(words, this.#taken[0]!, time, 0);
        }
        this.#cells.change();
      }
    }
    this.#cells.swapTop(slots, capacity);
  }

  /** Takes a slot of the rule for something that was taken before. @returns its word, -1 when none is free */
  #fillAs(time: number, now: number): number {
    if (this.#fill(1, 0, this.capacity, now) === 0) return -1;
    const at = this.#taken[0]!;
    Atomics.compareExchange(this.#words, at, timeOf(now), time);
    return at;
  }

  /** Frees slots whose time is over, before their times could be taken for later ones. */
  #sweep(swept: number, now: number): void {
    const words = this.#words;
    const slots = this.#slots(now);
    const before = Atomics.load(words, this.#cells.sweptAt);
    const isAllOver = (swept - before - 1) * SWEEP_MS > this.#windowMs;
    for (let cell = 0; cell < this.#cells.countFor(slots); cell++) {
      const word = this.#cells.wordAt(cell);
      for (let i = 0; word !== -1 && i < this.#inCell(cell, slots); i++) {
        const seen = Atomics.load(words, word + i);
        if (isAllOver) this.#freeOld(word + i, now);
        else if (seen !== 0 && this.#isFree(seen, now)) Atomics.compareExchange(words, word + i, seen, 0);
      }
    }
    Atomics.store(words, this.#cells.sweptAt, swept);
  }

  /** Frees a slot unless somebody has taken it just now. */
  #freeOld(at: number, now: number): void {
    const seen = Atomics.load(this.#words, at);
    if (seen !== 0 && ageOf(seen, now) >= 1000) Atomics.compareExchange(this.#words, at, seen, 0);
  }

  /** The word of a cell's first slot; the cell is made if it is not there. */
  #wordToFill(cell: number, now: number): number {
    if ((this.#cells.log.cells[cell] ?? -1) !== -1) return this.#cells.wordAt(cell);
    const word = this.#cells.make(cell, now);
    // One whose time was over may still be as it was.
    const count = word === -1 ? 0 : this.#inCell(cell, MOST_SLOTS);
    for (let i = 0; i < count; i++) this.#freeOld(word + i, now);
    return word;
  }

  /** How many slots may be in use; their cells are found. */
  #slots(now: number): number {
    const { top } = this.#cells;
    if (this.#cells.countFor(top) > this.#cells.log.cells.length) this.#cells.findAll(now);
    return top;
  }

  /** How many of so many slots are in a cell. */
  #inCell(cell: number, slots: number): number {
    return Math.min(slots, this.#cells.slotAt(cell + 1)) - this.#cells.slotAt(cell);
  }

  /** A word's time is over, or it has none. */
  #isFree(taken: number, now: number): boolean {
    return taken === 0 || ageOf(taken, now) >= this.#windowMs;
  }
}

/** A time as slots have it: never 0, which is none. */
const timeOf = (now: number): number => now | 0 || 1;

function ageOf(taken: number, now: number): number {
  const age = (now - taken) >>> 0;
  return age < TO_COME ? age : 0;
}
