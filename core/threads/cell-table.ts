/**
 * A table of cells in shared memory: fixed in size, open addressing, found by the 64-bit hash of a key. No thread
 * ever waits for another.
 */
import type { SharedCells } from "../plugin.ts";

export interface CellTableSize {
  /** How many cells there is room for; a power of two. */
  readonly capacity: number;
  /** Payload words of a cell; an even number. */
  readonly cellWords: number;
}

export class CellTable implements SharedCells {
  readonly cellWords: number;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly doubles: Float64Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;

  /** Bytes that a table needs. */
  static bytes({ capacity, cellWords }: CellTableSize): number {
    return capacity * cellWords * 4;
  }

  constructor(memory: SharedArrayBuffer, size: CellTableSize) {
    this.cellWords = size.cellWords;
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.longs = new BigInt64Array(memory);
  }

  locate(_key: string, _ttlMs: number): number {
    return -1;
  }
}
