/** Cells of one thread alone, for keys that there is no shared room for: a fixed number, the least recently used goes. */
import type { SharedCells } from "../../../core/plugin.ts";

export class OwnCells implements SharedCells {
  readonly cellWords: number;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly doubles: Float64Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly #capacity: number;
  /** Those used last come last. */
  readonly #cells = new Map<string, number>();

  constructor(capacity: number, cellWords: number) {
    const memory = new SharedArrayBuffer(capacity * cellWords * 4);
    this.cellWords = cellWords;
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.longs = new BigInt64Array(memory);
    this.#capacity = capacity;
  }

  locate(key: string): number {
    const found = this.find(key);
    if (found !== -1) return found;
    let cell = this.#cells.size * this.cellWords;
    if (this.#cells.size === this.#capacity) {
      const [oldest, its] = this.#cells.entries().next().value!;
      this.#cells.delete(oldest);
      this.words.fill(0, its, its + this.cellWords);
      cell = its;
    }
    this.#cells.set(key, cell);
    return cell;
  }

  find(key: string): number {
    const cell = this.#cells.get(key);
    if (cell === undefined) return -1;
    this.#cells.delete(key);
    this.#cells.set(key, cell);
    return cell;
  }

  prolong(): void {}
}
