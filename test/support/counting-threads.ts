/** Threads that count in cells of a small table at the same time: some keys again and again, others once in a while. */
import { Worker } from "node:worker_threads";
import { CellTable, type CellTableSize } from "../../core/threads/cell-table.ts";

export const SIZE: CellTableSize = { capacity: 128, cellWords: 4 };
export const HOT_KEYS = 20;
export const COLD_KEYS = 1000;
export const EPOCH = 1_000_000;
/** Milliseconds that go by with each tick of the threads' clock: cold cells are over after about a hundred. */
export const TICK_MS = 50;
/** Ticks that may go by while a thread makes a step: fewer than a cell lives beyond its time. */
export const LAG_TICKS = 40;

export interface ThreadData {
  readonly memory: SharedArrayBuffer;
  readonly threads: number;
  readonly me: number;
  readonly steps: number;
  /** How many steps each thread has made. */
  readonly positions: Int32Array<SharedArrayBuffer>;
  /** The clock, and after it the tick at which each thread began its step: one that is dead holds the clock. */
  readonly ticks: Int32Array<SharedArrayBuffer>;
  /** What each thread has counted of each hot key. */
  readonly tallies: Int32Array<SharedArrayBuffer>;
}

const wordsOf = (count: number): Int32Array<SharedArrayBuffer> =>
  new Int32Array(new SharedArrayBuffer(4 * count));

export class CountingThreads {
  readonly memory: SharedArrayBuffer;
  readonly table: CellTable;
  readonly positions: Int32Array<SharedArrayBuffer>;
  readonly #ticks: Int32Array<SharedArrayBuffer>;
  readonly #tallies: Int32Array<SharedArrayBuffer>;
  readonly #workers: Worker[] = [];
  readonly #threads: number;

  constructor(threads: number) {
    this.#threads = threads;
    this.memory = CellTable.create(SIZE, threads, EPOCH);
    this.table = new CellTable(this.memory, SIZE, threads, threads);
    this.positions = wordsOf(threads);
    this.#ticks = wordsOf(1 + threads);
    this.#tallies = wordsOf(threads * HOT_KEYS);
  }

  /**
   * Starts a thread, or one in its place.
   * @returns how often a cell was also another key's, once it has made its steps
   */
  start(me: number, steps: number): Promise<number> {
    const { memory, positions } = this;
    const workerData: ThreadData = {
      memory,
      threads: this.#threads,
      me,
      steps,
      positions,
      ticks: this.#ticks,
      tallies: this.#tallies,
    };
    const worker = new Worker(new URL("./counting-thread.ts", import.meta.url), { workerData });
    this.#workers[me] = worker;
    return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  }

  /** Ends a thread wherever it is. */
  async end(me: number): Promise<void> {
    await this.#workers[me]!.terminate();
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  /** For each hot key: what its cell says, and what the threads have counted. */
  sums(): { cell: number; counted: number }[] {
    return Array.from({ length: HOT_KEYS }, (_, key) => ({
      cell: this.table.words[this.table.locate(`hot ${key}`, 3_600_000, EPOCH)]!,
      counted: this.#tallies.filter((_, i) => i % HOT_KEYS === key).reduce((sum, n) => sum + n, 0),
    }));
  }
}
