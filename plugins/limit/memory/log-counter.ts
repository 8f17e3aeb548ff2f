/**
 * Counts a rule exactly: when each unit was taken, to the millisecond. There is a slot for each unit that the rule has
 * in its window, with the time at which it was taken; who wants one puts the time into a slot whose time is over. As
 * there are no more slots than units, no more can be taken, however threads race. What is charged beyond lies in slots
 * behind those, and moves forward as soon as there is one.
 *
 * Times are the lowest 32 bits of the milliseconds. The slots of a key lie in as many cells as they need.
 */
import type { SharedCells } from "../../../core/plugin.ts";
import type { Rule } from "../limiter.ts";
import type { Counter } from "./counter.ts";

export const MOST_LOGGED = 10_000;
/** Longest window: no time is older than twice that when it is made sure that none is too old. */
export const LONGEST_LOG_MS = 20 * 86_400_000;
/** Ages from here on are of times to come: the clock of another thread was ahead by a moment. */
const TO_COME = 2 ** 32 - 60_000;

/** Words of a key's first cell: how many slots may be in use, and when it was last made sure that none is too old. */
const TOP = 0;
const SWEPT = 1;
const FIRST_SLOT = 2;
/** How often that is made sure, in milliseconds. */
const SWEEP_MS = 2 ** 24;
/** Slots that a key may have in all. */
const MOST_SLOTS = 3 * MOST_LOGGED;

export class LogCounter implements Counter {
  readonly capacity: number;
  remaining = 0;
  resetMs = 0;
  readonly #windowMs: number;
  readonly #prefix: string;
  readonly #cells: SharedCells;
  readonly #words: Int32Array<SharedArrayBuffer>;
  /** Slots of the first cell, and of each other one. */
  readonly #inFirst: number;
  readonly #inEach: number;
  #key = "";
  /** Cells of the key: -1 for those that are not there, which are as good as empty. */
  readonly #at: number[] = [];
  /** What the latest look has found: slots to look at, those in use, and the earliest time. */
  #slots = 0;
  #used = 0;
  #oldest = 0;
  #now = 0;
  readonly #taken: number[] = [];

  constructor({ count, windowMs }: Rule, prefix: string, cells: SharedCells) {
    this.capacity = count;
    this.#windowMs = windowMs;
    this.#prefix = prefix;
    this.#cells = cells;
    this.#words = cells.words;
    this.#inFirst = cells.cellWords - FIRST_SLOT;
    this.#inEach = cells.cellWords;
  }

  locate(key: string, now: number): boolean {
    const cell = this.#cells.locate(this.#prefix + key, this.#windowMs, now);
    if (cell === -1) return false;
    this.#key = key;
    this.#at[0] = cell;
    raise(this.#words, cell + TOP, this.capacity);
    this.#findCells(now);
    const swept = Math.floor(now / SWEEP_MS) | 0;
    if (Atomics.load(this.#words, cell + SWEPT) !== swept) this.#sweep(swept, now);
    return true;
  }

  read(key: string, now: number): void {
    const cell = this.#cells.find(this.#prefix + key, now);
    if (cell !== -1) {
      this.locate(key, now);
      this.look(now);
      return;
    }
    this.remaining = this.capacity;
    this.resetMs = 0;
  }

  take(cost: number, now: number): boolean {
    for (;;) {
      this.#pay(now);
      this.look(now);
      if (this.#used + cost > this.capacity) return false;
      if (this.#fill(cost, this.capacity, now) === cost) break;
      this.#undo(now);
    }
    this.#add(cost);
    return true;
  }

  takeRest(units: number, now: number): void {
    this.#pay(now);
    this.look(now);
    this.#fill(Math.max(0, Math.min(units, this.capacity - this.#used)), this.capacity, now);
    this.look(now);
  }

  charge(units: number, now: number): void {
    // One more than there are slots of the rule is as much as any number: they all go at the same time.
    let left = Math.min(units, this.capacity + 1);
    left -= this.#fill(left, this.capacity, now);
    if (left > 0) this.#owe(left, now);
    this.look(now);
  }

  giveBack(units: number, takenAt: number, now: number): void {
    const time = timeOf(takenAt);
    let left = units;
    for (let i = 0; i < this.#slots && left > 0; i++) {
      const at = this.#slotAt(i);
      if (at !== -1 && Atomics.compareExchange(this.#words, at, time, 0) === time) left--;
    }
    this.#pay(now);
    this.look(now);
  }

  look(now: number): void {
    const words = this.#words;
    if (this.#top !== this.#slots) this.#findCells(now);
    let used = 0;
    let oldest = Number.NEGATIVE_INFINITY;
    let newest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#slots; i++) {
      const at = this.#slotAt(i);
      const taken = at === -1 ? 0 : Atomics.load(words, at);
      if (taken === 0) continue;
      const age = ageOf(taken, now);
      if (age >= this.#windowMs) continue;
      used++;
      if (age > oldest) oldest = age;
      if (age < newest) newest = age;
    }
    this.#now = now;
    this.#used = used;
    this.#oldest = oldest;
    this.remaining = Math.max(0, this.capacity - used);
    this.resetMs = used === 0 ? 0 : this.#windowMs - newest;
  }

  waitFor(cost: number): number {
    const missing = this.#used + cost - this.capacity;
    if (missing <= 0) return 0;
    if (missing === 1) return this.#windowMs - this.#oldest;
    const ages: number[] = [];
    for (let i = 0; i < this.#slots; i++) {
      const at = this.#slotAt(i);
      const taken = at === -1 ? 0 : Atomics.load(this.#words, at);
      const age = ageOf(taken, this.#now);
      if (taken !== 0 && age < this.#windowMs) ages.push(age);
    }
    ages.sort((a, b) => b - a);
    return Math.max(0, this.#windowMs - (ages[missing - 1] ?? this.#windowMs));
  }

  forget(key: string, now: number): void {
    if (this.#cells.find(this.#prefix + key, now) === -1 || !this.locate(key, now)) return;
    for (let i = 0; i < this.#slots; i++) {
      const at = this.#slotAt(i);
      if (at !== -1) Atomics.store(this.#words, at, 0);
    }
  }

  /** Puts the time into free slots below `end`; gives how many. */
  #fill(units: number, end: number, now: number): number {
    const words = this.#words;
    const time = timeOf(now);
    const taken = this.#taken;
    taken.length = 0;
    for (let i = 0; i < end && taken.length < units; i++) {
      const at = this.#slotAt(i) === -1 ? this.#makeSlot(i, now) : this.#slotAt(i);
      if (at === -1) return taken.length;
      const seen = Atomics.load(words, at);
      if (!this.#isFree(seen, now)) continue;
      if (Atomics.compareExchange(words, at, seen, time) !== seen) continue;
      taken.push(at);
      if (i >= this.#inFirst) this.#cells.prolong(this.#cellOf(i), this.#windowMs, now);
    }
    return taken.length;
  }

  /** Frees what the latest fill has taken. */
  #undo(now: number): void {
    for (const at of this.#taken) Atomics.compareExchange(this.#words, at, timeOf(now), 0);
  }

  /** Puts what is owed into slots behind those of the rule. */
  #owe(units: number, now: number): void {
    const top = this.#at[0]! + TOP;
    let left = units;
    for (let end = this.capacity; left > 0 && end < MOST_SLOTS; ) {
      end = Math.min(Math.max(this.#slots, end + left), MOST_SLOTS);
      raise(this.#words, top, end);
      this.#findCells(now);
      left -= this.#fill(left, end, now);
    }
    // Who found nothing there meanwhile may have lowered it.
    raise(this.#words, top, this.#slots);
  }

  /** Moves what is owed to slots of the rule that are free by now. */
  #pay(now: number): void {
    if (this.#top !== this.#slots) this.#findCells(now);
    const { capacity } = this;
    const words = this.#words;
    const slots = this.#slots;
    if (slots <= capacity) return;
    let free = 0;
    let isPaid = true;
    for (let i = capacity; i < slots; i++) {
      const from = this.#slotAt(i);
      const time = from === -1 ? 0 : Atomics.load(words, from);
      if (this.#isFree(time, now)) continue;
      let to = -1;
      for (; free < capacity && to === -1; free++) {
        const at = this.#slotAt(free) === -1 ? this.#makeSlot(free, now) : this.#slotAt(free);
        if (at === -1) break;
        const seen = Atomics.load(words, at);
        if (!this.#isFree(seen, now) || Atomics.compareExchange(words, at, seen, time) !== seen) continue;
        to = at;
        if (free >= this.#inFirst) this.#cells.prolong(this.#cellOf(free), this.#windowMs, now);
      }
      if (to === -1) {
        isPaid = false;
        break;
      }
      if (Atomics.compareExchange(words, from, time, 0) !== time) Atomics.compareExchange(words, to, time, 0);
    }
    if (isPaid) Atomics.compareExchange(words, this.#at[0]! + TOP, slots, capacity);
  }

  /** Frees slots whose time is over, before their times could be taken for later ones. */
  #sweep(swept: number, now: number): void {
    const words = this.#words;
    const before = Atomics.load(words, this.#at[0]! + SWEPT);
    const isAllOver = (swept - before - 1) * SWEEP_MS > this.#windowMs;
    for (let i = 0; i < this.#slots; i++) {
      const at = this.#slotAt(i);
      if (at === -1) continue;
      if (isAllOver) this.#freeOld(at, now);
      else {
        const seen = Atomics.load(words, at);
        if (seen !== 0 && this.#isFree(seen, now)) Atomics.compareExchange(words, at, seen, 0);
      }
    }
    Atomics.store(words, this.#at[0]! + SWEPT, swept);
  }

  /** A word's time is over, or it has none. */
  #isFree(taken: number, now: number): boolean {
    return taken === 0 || ageOf(taken, now) >= this.#windowMs;
  }

  #add(cost: number): void {
    this.#used += cost;
    this.remaining = Math.max(0, this.capacity - this.#used);
    if (cost > 0) this.resetMs = this.#windowMs;
  }

  /** How many slots may be in use. */
  get #top(): number {
    return Math.max(this.capacity, Atomics.load(this.#words, this.#at[0]! + TOP));
  }

  /** How many slots there are, and the cells that they lie in. */
  #findCells(now: number): void {
    this.#slots = this.#top;
    const cells =
      this.#slots <= this.#inFirst ? 1 : 1 + Math.ceil((this.#slots - this.#inFirst) / this.#inEach);
    for (let i = 1; i < cells; i++) this.#at[i] = this.#cells.find(`${this.#prefix}${this.#key}\0${i}`, now);
  }

  /** The word of a slot; -1 when it is in a cell that is not there. */
  #slotAt(i: number): number {
    if (i < this.#inFirst) return this.#at[0]! + FIRST_SLOT + i;
    const cell = this.#cellOf(i);
    return cell === -1 ? -1 : cell + ((i - this.#inFirst) % this.#inEach);
  }

  #cellOf(i: number): number {
    return this.#at[1 + Math.floor((i - this.#inFirst) / this.#inEach)]!;
  }

  /** The word of a slot whose cell was not there. */
  #makeSlot(i: number, now: number): number {
    const nth = 1 + Math.floor((i - this.#inFirst) / this.#inEach);
    const cell = this.#cells.locate(`${this.#prefix}${this.#key}\0${nth}`, this.#windowMs, now);
    this.#at[nth] = cell;
    // One whose time was over may still be as it was.
    for (let at = cell; cell !== -1 && at < cell + this.#inEach; at++) this.#freeOld(at, now);
    return this.#slotAt(i);
  }

  /** Frees a slot unless somebody has taken it just now. */
  #freeOld(at: number, now: number): void {
    const seen = Atomics.load(this.#words, at);
    if (seen !== 0 && ageOf(seen, now) >= 1000) Atomics.compareExchange(this.#words, at, seen, 0);
  }
}

/** A time as slots have it: never 0, which is none. */
const timeOf = (now: number): number => now | 0 || 1;

function ageOf(taken: number, now: number): number {
  const age = (now - taken) >>> 0;
  return age < TO_COME ? age : 0;
}

/** Sets a word to at least so much. */
function raise(words: Int32Array<SharedArrayBuffer>, at: number, value: number): void {
  let seen = Atomics.load(words, at);
  while (seen < value) {
    const before = Atomics.compareExchange(words, at, seen, value);
    if (before === seen) return;
    seen = before;
  }
}
