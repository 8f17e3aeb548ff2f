/** Threads that take from the same limits at the same time. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import type { Plan, Reading } from "../../plugins/limit/limiter.ts";
import { createMemoryLimiter, type LimiterHost } from "../../plugins/limit/memory-limiter.ts";

/** What time it is for all of them, all the time. */
const NOW = 1_700_000_000_000;

export interface Hammering {
  readonly plan: Plan;
  readonly keys: number;
  /** How often each thread takes of each key. */
  readonly rounds: number;
  readonly cost: number;
  /** Two of three takes are given back. */
  readonly isGivenBack?: boolean;
}

export interface Job extends Hammering {
  readonly scope: string;
  /** All begin when so many are there. */
  readonly gate: Int32Array<SharedArrayBuffer>;
  /** Units that were taken of each key, and kept. */
  readonly tallies: Int32Array<SharedArrayBuffer>;
}

export interface ThreadData {
  readonly handle: ReturnType<typeof createSharedMemory>;
  readonly thread: number;
  readonly threads: number;
}

export const keyOf = (k: number): string => `key ${k}`;

/** What limiters of a thread need. */
export function hostOf(shared: SharedMemory): LimiterHost {
  const kept = new Map<string, object>();
  const keep = <T extends object>(key: string, create: () => T): T => {
    if (!kept.has(key)) kept.set(key, create());
    return kept.get(key) as T;
  };
  const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
  return { shared, keep, log, clock: { now: () => NOW, monotonic: () => NOW } };
}

const wordsOf = (count: number): Int32Array<SharedArrayBuffer> =>
  new Int32Array(new SharedArrayBuffer(4 * count));

export class LimitingThreads {
  readonly #workers: Worker[];
  readonly #host: LimiterHost;
  #scopes = 0;

  constructor(threads: number) {
    const handle = createSharedMemory(threads, NOW, NOW);
    this.#host = hostOf(new SharedMemory(handle, threads));
    this.#workers = Array.from({ length: threads }, (_, thread) => {
      const workerData: ThreadData = { handle, thread, threads };
      return new Worker(new URL("./limiting-thread.ts", import.meta.url), { workerData });
    });
  }

  /** Has all threads take from limits that are their own; gives what they took of each key, and what is left. */
  async hammer(hammering: Hammering): Promise<{ taken: number[]; left: Reading["rules"][] }> {
    const scope = `scope ${this.#scopes++}`;
    const job: Job = { ...hammering, scope, gate: wordsOf(1), tallies: wordsOf(hammering.keys) };
    const done = this.#workers.map((worker) => once(worker, "message"));
    for (const worker of this.#workers) worker.postMessage(job);
    await Promise.all(done);
    const limiter = createMemoryLimiter(scope, hammering.plan, this.#host);
    const taken = [...job.tallies];
    return { taken, left: taken.map((_, k) => limiter.read(keyOf(k)).rules) };
  }

  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
