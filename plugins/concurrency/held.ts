/**
 * What all threads hold of one key. Each has two words in a cell of shared memory: how many exchanges of its own are
 * in, and, while some wait there, the limit that they wait below. What a thread holds is its own word only, so that
 * nothing is left over when it ends.
 */
import type { SharedState } from "../../core/plugin.ts";
import { shareOf } from "../../core/threads/share.ts";

/** How long a cell stays after its last use. */
const TTL_MS = 10_000;
/** How often the cells of those who are in are located again. */
export const RENEW_MS = 3000;
/** Tries to enter while other threads do the same. */
const ATTEMPTS = 4;

export class Held {
  readonly #shared: SharedState;
  readonly #key: string;
  readonly #words: Int32Array<SharedArrayBuffer>;
  #cell: number;
  #wanted = 0;

  constructor(shared: SharedState, key: string, nowMs: number) {
    this.#shared = shared;
    this.#key = key;
    this.#words = shared.holdings.words;
    this.#cell = shared.holdings.locate(key, TTL_MS, nowMs);
  }

  /** False when there is no cell for it: then each thread has its share of the limit for itself. */
  get isShared(): boolean {
    return this.#cell !== -1;
  }

  /**
   * Takes one, if fewer than `limit` are held by all threads together. Never more are, but when threads take the last
   * one at the same time, none may get it.
   * @param mine how many this thread holds
   * @param yields whether those who wait in other threads go first
   */
  tryTake(limit: number, mine: number, yields: boolean): boolean {
    if (this.#cell === -1) return mine < shareOf(limit, this.#shared);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (this.#sum() >= limit || (yields && this.isWantedByOthers)) return false;
      this.add(1);
      if (this.#sum() <= limit) return true;
      this.add(-1);
    }
    return false;
  }

  /** Takes some, or gives some back, whatever the limit is. */
  add(count: number): void {
    if (this.#cell !== -1) Atomics.add(this.#words, this.#cell + 2 * this.#shared.thread, count);
  }

  /** Whether there is room that those who wait in other threads may have. */
  get isWantedByOthers(): boolean {
    if (this.#cell === -1) return false;
    const words = this.#words;
    const { thread, threads } = this.#shared;
    const end = this.#cell + 2 * threads;
    let wanted = 0;
    for (let at = this.#cell + 1; at < end; at += 2) {
      const here = Atomics.load(words, at);
      if (here > wanted && at !== this.#cell + 2 * thread + 1) wanted = here;
    }
    return wanted > 0 && wanted > this.#sum();
  }

  /**
   * Wakes threads in which somebody waits who may enter now.
   * @returns whether there are any
   */
  ringOthers(): boolean {
    if (!this.isWantedByOthers) return false;
    const { thread, threads } = this.#shared;
    const sum = this.#sum();
    for (let i = 0; i < threads; i++) {
      if (i !== thread && Atomics.load(this.#words, this.#cell + 2 * i + 1) > sum) this.#shared.ring(i);
    }
    return true;
  }

  /** Tells other threads what is waited for here; 0 for nothing. */
  want(limit: number): void {
    if (limit === this.#wanted) return;
    this.#wanted = limit;
    if (this.#cell !== -1) Atomics.store(this.#words, this.#cell + 2 * this.#shared.thread + 1, limit);
  }

  /**
   * Keeps the cell, or finds one after there was none.
   * @param mine how many this thread holds
   */
  renew(mine: number, nowMs: number): void {
    const cell = this.#shared.holdings.locate(this.#key, TTL_MS, nowMs);
    if (cell === this.#cell) return;
    this.#cell = cell;
    if (cell === -1) return;
    Atomics.store(this.#words, cell + 2 * this.#shared.thread, mine);
    Atomics.store(this.#words, cell + 2 * this.#shared.thread + 1, this.#wanted);
  }

  /** What all threads hold. */
  #sum(): number {
    const words = this.#words;
    const end = this.#cell + 2 * this.#shared.threads;
    let sum = 0;
    for (let at = this.#cell; at < end; at += 2) sum += Atomics.load(words, at);
    return sum;
  }
}
