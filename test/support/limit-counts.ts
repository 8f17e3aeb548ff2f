/**
 * The algorithms of limits by their definitions, slow and obviously right: each keeps a list of what was taken and when,
 * and goes through it to answer. Whole numbers only, so nothing is rounded on the way.
 */
import type { Rule } from "../../plugins/limit/limiter.ts";

interface Taken {
  readonly at: number;
  units: number;
}

/** What a rule counts for a key. */
export interface Count {
  /** Whether there is room for so many units, if nothing comes until then. */
  fits(units: number, at: number): boolean;
  /** Whether nothing that was taken matters any more. */
  isWhole(at: number): boolean;
  /** @param at when it was, which can be before now for what is charged later */
  add(units: number, at: number): void;
  /** @param takenAt when they had been taken */
  giveBack(units: number, takenAt: number, now: number): void;
  /** Takes what is there, at most so many units. */
  takeRest(units: number, at: number): void;
  /** All that was taken, in units. */
  history(): readonly Taken[];
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Holds `burst` units, and gains `count` in each window, evenly. Its units are parts that a millisecond gains wholly. */
class Bucket implements Count {
  readonly #taken: Taken[] = [];
  readonly #unit: number;
  readonly #gain: number;
  readonly #full: number;

  constructor({ count, windowMs, burst }: Rule) {
    const common = gcd(count, windowMs);
    this.#unit = windowMs / common;
    this.#gain = count / common;
    this.#full = burst * this.#unit;
  }

  #level(at: number): number {
    let level = this.#full;
    let since = Number.NEGATIVE_INFINITY;
    for (const taken of this.#taken) {
      level = Math.min(this.#full, level + (taken.at - since) * this.#gain);
      level = Math.min(this.#full, level - taken.units);
      since = taken.at;
    }
    return Math.min(this.#full, level + (at - since) * this.#gain);
  }

  fits(units: number, at: number): boolean {
    return this.#level(at) >= units * this.#unit;
  }

  isWhole(at: number): boolean {
    return this.#level(at) === this.#full;
  }

  add(units: number, at: number): void {
    this.#taken.push({ at, units: units * this.#unit });
  }

  giveBack(units: number, _takenAt: number, now: number): void {
    this.#taken.push({ at: now, units: -units * this.#unit });
  }

  takeRest(units: number, at: number): void {
    const there = Math.max(0, this.#level(at));
    this.#taken.push({ at, units: Math.min(there, units * this.#unit) });
  }

  history(): Taken[] {
    return this.#taken.map(({ at, units }) => ({ at, units: units / this.#unit }));
  }
}

/** What the others have in common: units that were taken at a time, and are given back as if they never had been. */
abstract class Window implements Count {
  protected readonly taken: Taken[] = [];
  protected readonly rule: Rule;

  constructor(rule: Rule) {
    this.rule = rule;
  }

  /** Whether a unit taken then is one that `giveBack` finds when it looks for one of another time. */
  protected abstract isSame(a: number, b: number): boolean;
  abstract fits(units: number, at: number): boolean;
  abstract isWhole(at: number): boolean;

  add(units: number, at: number): void {
    this.taken.push({ at, units });
  }

  giveBack(units: number, takenAt: number, _now: number): void {
    let left = units;
    for (const taken of this.taken.filter(({ at }) => this.isSame(at, takenAt))) {
      const back = Math.min(left, taken.units);
      taken.units -= back;
      left -= back;
    }
  }

  takeRest(units: number, at: number): void {
    const isAll = (there: number): boolean => there >= units || !this.fits(there + 1, at);
    this.add(first(isAll), at);
  }

  history(): readonly Taken[] {
    return this.taken;
  }

  protected sum(holds: (at: number) => boolean): number {
    return this.taken.filter(({ at }) => holds(at)).reduce((sum, { units }) => sum + units, 0);
  }
}

/** Windows that lie side by side from 00:00 UTC on. */
abstract class Aligned extends Window {
  readonly #offsetMs: number;

  constructor(rule: Rule, offsetMs: number) {
    super(rule);
    this.#offsetMs = offsetMs;
  }

  protected indexOf(at: number): number {
    return Math.floor((at + this.#offsetMs) / this.rule.windowMs);
  }

  /** Milliseconds of its window that are left. */
  protected restOf(at: number): number {
    return (this.indexOf(at) + 1) * this.rule.windowMs - (at + this.#offsetMs);
  }

  protected inWindow(index: number): number {
    return this.sum((at) => this.indexOf(at) === index);
  }

  protected isSame(a: number, b: number): boolean {
    return this.indexOf(a) === this.indexOf(b);
  }
}

class FixedWindow extends Aligned {
  fits(units: number, at: number): boolean {
    return this.inWindow(this.indexOf(at)) + units <= this.rule.count;
  }

  isWhole(at: number): boolean {
    return this.inWindow(this.indexOf(at)) === 0;
  }
}

/** What was taken in this window, and of the window before as much as of that still overlaps with the last `windowMs`. */
class SlidingCounter extends Aligned {
  /** The estimate, times `windowMs`, which can be larger than what numbers have exactly. */
  #estimate(at: number): bigint {
    const now = this.indexOf(at);
    const times = (units: number, ms: number): bigint => BigInt(units) * BigInt(ms);
    return times(this.inWindow(now), this.rule.windowMs) + times(this.inWindow(now - 1), this.restOf(at));
  }

  fits(units: number, at: number): boolean {
    return this.#estimate(at) <= BigInt(this.rule.count - units) * BigInt(this.rule.windowMs);
  }

  isWhole(at: number): boolean {
    return this.#estimate(at) === 0n;
  }
}

/** Everything that was taken in the last `windowMs`, to the millisecond. */
class SlidingLog extends Window {
  #used(now: number): number {
    return this.sum((at) => at > now - this.rule.windowMs);
  }

  fits(units: number, at: number): boolean {
    return this.#used(at) + units <= this.rule.count;
  }

  isWhole(at: number): boolean {
    return this.#used(at) === 0;
  }

  protected isSame(a: number, b: number): boolean {
    return a === b;
  }
}

/** Both have room. */
class Both implements Count {
  readonly #parts: readonly Count[];

  constructor(parts: readonly Count[]) {
    this.#parts = parts;
  }

  fits(units: number, at: number): boolean {
    return this.#parts.every((part) => part.fits(units, at));
  }

  isWhole(at: number): boolean {
    return this.#parts.every((part) => part.isWhole(at));
  }

  add(units: number, at: number): void {
    for (const part of this.#parts) part.add(units, at);
  }

  giveBack(units: number, takenAt: number, now: number): void {
    for (const part of this.#parts) part.giveBack(units, takenAt, now);
  }

  takeRest(units: number, at: number): void {
    for (const part of this.#parts) part.takeRest(units, at);
  }

  history(): readonly Taken[] {
    return this.#parts[0]!.history();
  }
}

/** The first whole number from which on something holds that goes on holding. */
export function first(holds: (value: number) => boolean): number {
  if (holds(0)) return 0;
  let no = 0;
  let yes = 1;
  while (!holds(yes)) {
    no = yes;
    yes *= 2;
  }
  while (yes - no > 1) {
    const middle = Math.floor((no + yes) / 2);
    if (holds(middle)) yes = middle;
    else no = middle;
  }
  return yes;
}

export function createCount(rule: Rule, utcOffsetMs: number): Count {
  switch (rule.algorithm) {
    case "token-bucket":
      return new Bucket(rule);
    case "fixed-window":
      return new FixedWindow(rule, utcOffsetMs);
    case "sliding-window-log":
      return new SlidingLog(rule);
    case "sliding-window-counter":
      return new SlidingCounter(rule, utcOffsetMs);
    case "hybrid":
      return new Both([new Bucket(rule), new SlidingCounter(rule, utcOffsetMs)]);
  }
}
