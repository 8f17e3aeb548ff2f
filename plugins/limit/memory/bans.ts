/**
 * Who is banned, of all who are counted under one scope. A cell of a key says how many of its requests were refused
 * since when, or until when it is banned. Most scopes have no bans: one word for all says until when there are any.
 *
 * In the word pair of a key: 1 in the lowest bit when it is banned, refusals in 21 bits, milliseconds above.
 */
import type { Host } from "../../../core/plugin.ts";
import type { Ban, BanRule } from "../limiter.ts";
import { Word } from "./word.ts";

/** Most refusals that may lead to a ban. */
export const MOST_REFUSALS = 2 ** 21 - 1;

const BANNED = 1;
const LOW_BITS = 22;
const LOW_MS = 2 ** 10;
/** Latest time that a cell can hold. */
const LATEST_MS = 2 ** 42 - 1;
/** Milliseconds of the steps in which it is kept until when there are bans. */
const STEP_MS = 1024;
/** Keys that are remembered to be banned. */
const MOST_NAMES = 512;

export class Bans {
  readonly #rule: BanRule | undefined;
  readonly #prefix: string;
  readonly #shared: Host["shared"];
  readonly #word: Word;
  /** The cell of the scope; -1 when there is no room for it. */
  readonly #any: number;
  readonly #names: Map<string, number>;

  /** @param names keys that this thread knows to be banned, with the time until when; kept over reloads */
  constructor(
    scope: string,
    rule: BanRule | undefined,
    { shared, clock }: Pick<Host, "shared" | "clock">,
    names: Map<string, number>,
  ) {
    this.#rule = rule;
    this.#prefix = `${scope}\0ban\0`;
    this.#shared = shared;
    this.#word = new Word(shared.limits);
    this.#any = shared.limits.locate(`${scope}\0bans`, Number.POSITIVE_INFINITY, clock.monotonic());
    this.#names = names;
  }

  /** How long the key is banned yet. */
  leftMs(key: string, now: number): number {
    const { limits } = this.#shared;
    if (this.#any !== -1 && Atomics.load(limits.words, this.#any) * STEP_MS <= now) return 0;
    const cell = limits.find(this.#prefix + key, now);
    if (cell === -1) return 0;
    this.#word.load(cell);
    if ((this.#word.low & BANNED) === 0) return 0;
    const left = this.#time - now;
    if (left <= 0) return 0;
    this.#remember(key, now + left);
    return left;
  }

  /**
   * Counts a refusal.
   * @returns how long the ban is that it has led to, in milliseconds; 0 for none
   */
  refuse(key: string, now: number): number {
    const rule = this.#rule;
    if (rule === undefined) return 0;
    const { limits } = this.#shared;
    const cell = limits.locate(this.#prefix + key, rule.withinMs, now);
    if (cell === -1) return 0;
    const until = endOf(rule.forMs, now);
    for (;;) {
      this.#word.load(cell);
      if ((this.#word.low & BANNED) !== 0 && this.#time > now) return 0;
      const isOver = (this.#word.low & BANNED) !== 0 || now >= this.#time + rule.withinMs;
      const since = isOver ? now : this.#time;
      const refusals = isOver ? 1 : 1 + ((this.#word.low >>> 1) & MOST_REFUSALS);
      if (refusals < rule.after) {
        if (this.#swap(cell, since, refusals << 1)) return 0;
      } else if (this.#swap(cell, until, BANNED)) {
        limits.prolong(cell, rule.forMs, now);
        this.#announce(key, until);
        return rule.forMs;
      }
    }
  }

  /** Bans a key, or lifts its ban and forgets its refusals with 0. */
  ban(key: string, forMs: number, now: number): void {
    const { limits } = this.#shared;
    if (forMs <= 0) {
      const cell = limits.find(this.#prefix + key, now);
      if (cell !== -1) this.#word.clear(cell);
      this.#names.delete(key);
      return;
    }
    const cell = limits.locate(this.#prefix + key, forMs, now);
    if (cell === -1) return;
    const until = endOf(forMs, now);
    do this.#word.load(cell);
    while (!this.#swap(cell, until, BANNED));
    this.#announce(key, until);
  }

  list(now: number): Ban[] {
    const bans: Ban[] = [];
    for (const key of [...this.#names.keys()]) {
      const forMs = this.leftMs(key, now);
      if (forMs > 0) bans.push({ key, forMs });
      else this.#names.delete(key);
    }
    return bans.sort((a, b) => b.forMs - a.forMs);
  }

  /** Has all threads look for bans until then. */
  #announce(key: string, until: number): void {
    this.#remember(key, until);
    if (this.#any === -1) return;
    const { words } = this.#shared.limits;
    const step = Math.min(Math.ceil(until / STEP_MS), 2 ** 31 - 1);
    let seen = Atomics.load(words, this.#any);
    while (seen < step) {
      const before = Atomics.compareExchange(words, this.#any, seen, step);
      if (before === seen) return;
      seen = before;
    }
  }

  #remember(key: string, until: number): void {
    if (this.#names.size >= MOST_NAMES && !this.#names.has(key)) {
      this.#names.delete(this.#names.keys().next().value!);
    }
    this.#names.set(key, until);
  }

  get #time(): number {
    return (this.#word.high >>> 0) * LOW_MS + (this.#word.low >>> LOW_BITS);
  }

  #swap(cell: number, time: number, rest: number): boolean {
    const high = Math.floor(time / LOW_MS);
    return this.#word.swap(cell, ((time - high * LOW_MS) << LOW_BITS) | rest, high | 0);
  }
}

const endOf = (forMs: number, now: number): number => Math.min(now + forMs, LATEST_MS);
