/**
 * 64 bits of shared memory that change together, seen as two halves: a number of JavaScript has too few bits, and
 * arithmetic with big ones costs more than all the rest.
 */
import type { SharedCells } from "../../../core/plugin.ts";

export class Word {
  /** What was there at the latest look. */
  low = 0;
  high = 0;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #longs: BigInt64Array<SharedArrayBuffer>;
  readonly #pair = new Int32Array(2);
  readonly #long = new BigInt64Array(this.#pair.buffer);

  constructor({ words, longs }: SharedCells) {
    this.#words = words;
    this.#longs = longs;
  }

  /** Looks at the word pair that begins at `at`, an even number. */
  load(at: number): void {
    const words = this.#words;
    do {
      this.high = Atomics.load(words, at + 1);
      this.low = Atomics.load(words, at);
    } while (Atomics.load(words, at + 1) !== this.high);
  }

  /** Changes it, if it still is as at the latest look. */
  swap(at: number, low: number, high: number): boolean {
    const expected = this.#longOf(this.low, this.high);
    return Atomics.compareExchange(this.#longs, at >> 1, expected, this.#longOf(low, high)) === expected;
  }

  clear(at: number): void {
    Atomics.store(this.#longs, at >> 1, 0n);
  }

  #longOf(low: number, high: number): bigint {
    this.#pair[0] = low;
    this.#pair[1] = high;
    return this.#long[0]!;
  }
}
