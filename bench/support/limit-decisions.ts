/**
 * Decisions of one algorithm in memory, in a process of their own, which bench/limit.ts starts: `limit-decisions.ts
 * ALGORITHM COUNT KEYS ROUNDS`. Prints one line of JSON.
 */
import type { Algorithm, Limiter } from "../../plugins/limit/limiter.ts";
import { createMemoryLimiter } from "../../plugins/limit/memory-limiter.ts";
import { systemClock } from "../../core/clock.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { NO_LOG } from "./no-log.ts";
import { median } from "./stats.ts";

/** What it prints: CPU time of a decision, in nanoseconds, and what keys weigh. */
export interface Decisions {
  readonly hot: number;
  /** Keys that are counted for the first time. */
  readonly fresh: number;
  /** The same keys again, in another order. */
  readonly known: number;
  /** Memory that the process has grown by with the keys, in bytes. */
  readonly grown: number;
  /** Keys that had no room. */
  readonly homeless: number;
}

const [algorithm = "", ...numbers] = process.argv.slice(2);
const [count = 0, keys = 0, rounds = 0] = numbers.map(Number);
/** Decisions about the one key: a log looks at each unit that it has. */
const HOT = algorithm === "sliding-window-log" ? 20_000_000 / count : 1_000_000;

function create(shared: SharedMemory, windowMs: number): Limiter {
  const kept = new Map<string, object>();
  const rule = { name: "rule", algorithm: algorithm as Algorithm, count, windowMs, burst: count };
  return createMemoryLimiter(
    String(windowMs),
    { rules: [rule], ban: undefined, countRejected: false },
    {
      shared,
      clock: systemClock,
      log: NO_LOG,
      keep<T extends object>(key: string, make: () => T): T {
        if (!kept.has(key)) kept.set(key, make());
        return kept.get(key) as T;
      },
    },
  );
}

/** Made anew each time, as keys of requests are, so that nobody knows its hash yet. */
const keyOf = (i: number): string => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;

/** CPU time of each of so many calls, in nanoseconds. */
function measure(count: number, call: (i: number) => unknown): number {
  const before = process.cpuUsage();
  for (let i = 0; i < count; i++) call(i);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / count;
}

let length = 0;
const makeKey = (i: number): void => {
  length += keyOf(i).length;
};
const hot: number[] = [];
const known: number[] = [];
let fresh = 0;
let grown = 0;
let homeless = 0;
// Twice: the first time compiles.
for (const times of [1, rounds]) {
  const shared = new SharedMemory(createSharedMemory(1), 0);
  const short = create(shared, 10); // has room for most of what comes
  const long = create(shared, 3_600_000); // its keys do not end while they are measured
  measure(keys, makeKey);
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  fresh = measure(keys, (i) => long.take(keyOf(i), 1)) - measure(keys, makeKey);
  globalThis.gc?.();
  grown = process.memoryUsage().rss - before;
  known.length = 0;
  hot.length = 0;
  for (let i = 0; i < times; i++) {
    const key = measure(keys, makeKey);
    // A step that shares no factor with the number of keys comes to each of them.
    known.push(measure(keys, (n) => long.take(keyOf((n * 7919) % keys), 1)) - key);
    hot.push(measure(HOT, () => short.take("10.0.0.1", 1)));
  }
  homeless = Object.values(shared.tables).reduce((sum, table) => sum + table.full, 0);
}
const figures: Decisions = { hot: median(hot), fresh, known: median(known), grown, homeless };
if (length > 0) console.log(JSON.stringify(figures));
