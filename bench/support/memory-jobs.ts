/** What bench/shared-memory.ts measures: operations on memory that threads share, and a `Map` to compare with. */
import { CellTable } from "../../core/threads/cell-table.ts";

const SIZE = { capacity: 65_536, cellWords: 4 };
const KEYS = 10_000;
const TTL_MS = 60_000;
const NOW = 1000;

/** Memory of all threads that measure together. */
export interface Arena {
  readonly table: SharedArrayBuffer;
  readonly words: SharedArrayBuffer;
}

/** An arena with a cell for each key. */
export function createArena(): Arena {
  const table = CellTable.create(SIZE, 2, 0);
  const cells = new CellTable(table, SIZE, 2, 2);
  for (let i = 0; i < KEYS; i++) cells.locate(keyOf(i), TTL_MS, NOW);
  return { table, words: new SharedArrayBuffer(1024) };
}

/** Made anew each time, as keys of requests are, so that nobody knows its hash yet. */
const keyOf = (i: number): string => `consumer ${(i * 7919) % KEYS}`;

interface Memory {
  readonly cells: CellTable;
  readonly words: SharedArrayBuffer;
  readonly thread: number;
}

/** Each gives an operation; `i` counts up. */
const JOBS = {
  key: () => (i) => keyOf(i).length,
  map() {
    const map = new Map(Array.from({ length: KEYS }, (_, i) => [keyOf(i), i]));
    return (i) => map.get(keyOf(i))!;
  },
  locate:
    ({ cells }) =>
    (i) =>
      cells.locate(keyOf(i), TTL_MS, NOW),
  "locate and add":
    ({ cells }) =>
    (i) =>
      Atomics.add(cells.words, cells.locate(keyOf(i), TTL_MS, NOW), 1),
  "locate the same and add":
    ({ cells }) =>
    () =>
      Atomics.add(cells.words, cells.locate("consumer 17", TTL_MS, NOW), 1),
  "locate a new one":
    ({ cells, thread }) =>
    (i) =>
      // Those of 10 seconds before are over, and make room.
      cells.locate(`${thread} ${i}`, 0, NOW + i / 5),
  "add, 32 bits": ({ words }) => {
    const view = new Int32Array(words);
    return () => Atomics.add(view, 0, 1);
  },
  "add, 64 bits": ({ words }) => {
    const view = new BigInt64Array(words);
    return () => Number(Atomics.add(view, 16, 1n));
  },
  "swap, 32 bits": ({ words }) => {
    const view = new Int32Array(words);
    return () => {
      const seen = Atomics.load(view, 64);
      return Atomics.compareExchange(view, 64, seen, (seen + 1) | 0);
    };
  },
  "swap, 64 bits": ({ words }) => {
    const view = new BigInt64Array(words);
    return () => {
      const seen = Atomics.load(view, 48);
      return Number(Atomics.compareExchange(view, 48, seen, seen + 1n));
    };
  },
  "swap, a double": ({ words }) => {
    const view = new BigInt64Array(words);
    const double = new Float64Array(1);
    const bits = new BigInt64Array(double.buffer);
    return () => {
      const seen = Atomics.load(view, 64);
      bits[0] = seen;
      double[0]! += 0.5;
      return Number(Atomics.compareExchange(view, 64, seen, bits[0]!));
    };
  },
} as const satisfies Record<string, (memory: Memory) => (i: number) => number>;

export type JobName = keyof typeof JOBS;
export const JOB_NAMES = Object.keys(JOBS) as JobName[];

/** Gives a function that measures an operation: nanoseconds of this thread's CPU time, over so many. */
export function prepare(name: JobName, { table, words }: Arena, thread: number): (count: number) => number {
  const operation = JOBS[name]({ cells: new CellTable(table, SIZE, 2, thread), words, thread });
  let i = 0;
  let sum = 0;
  return (count) => {
    const before = process.threadCpuUsage();
    for (const end = i + count; i < end; i++) sum ^= operation(i);
    const { user, system } = process.threadCpuUsage(before);
    return sum === 0.5 ? 0 : ((user + system) * 1000) / count;
  };
}
