/**
 * Threads that look for cells and whose atomic operations interleave as a test says: what would happen once in a
 * million runs happens whenever it is asked for.
 */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads";
import type { CellTableSize } from "../../core/threads/cell-table.ts";

export interface ThreadData {
  /** A word for each thread: 1 while it is its turn. */
  readonly go: Int32Array<SharedArrayBuffer>;
  /** A word for each thread: 1 when its next step is to change what a cell is. */
  readonly swaps: Int32Array<SharedArrayBuffer>;
  readonly me: number;
  readonly port: MessagePort;
}

/** What one thread shall do: look for each key, mark its cell with the key (word 1) and count (word 0). */
export interface Job {
  readonly memory: SharedArrayBuffer;
  readonly size: CellTableSize;
  /** Keys are numbers above zero. */
  readonly keys: readonly string[];
  readonly nowMs: number;
  readonly ttlMs: number;
  /** Words whose operations are steps; those in between that never change need none. */
  readonly watched: readonly (readonly [from: number, to: number])[];
  /** The thread ends after so many steps, and one with its number goes on with the next key. */
  readonly endsAfter: number;
}

export interface Outcome {
  readonly cells: (readonly [key: string, cell: number])[];
  /** 1 for each key that was counted. */
  readonly added: number[];
  /** How often a cell had the mark of another key. */
  strangers: number;
}

/** Who goes next: so many steps, or to where it is about to change what a cell is, the so-manieth time from here. */
export type Turn = readonly [thread: number, count: number, what: "steps" | "swaps"];

export class SteppedThreads {
  readonly #go: Int32Array<SharedArrayBuffer>;
  readonly #swaps: Int32Array<SharedArrayBuffer>;
  readonly #threads: { readonly worker: Worker; readonly port: MessagePort }[];

  constructor(count: number) {
    const go = (this.#go = new Int32Array(new SharedArrayBuffer(4 * count)));
    const swaps = (this.#swaps = new Int32Array(new SharedArrayBuffer(4 * count)));
    this.#threads = Array.from({ length: count }, (_, me) => {
      const { port1, port2 } = new MessageChannel();
      Atomics.store(go, me, 1);
      const workerData: ThreadData = { go, swaps, me, port: port2 };
      const worker = new Worker(new URL("./stepped-thread.ts", import.meta.url), {
        workerData,
        transferList: [port2],
      });
      return { worker, port: port1 };
    });
  }

  /** Waits until all threads are there. */
  async ready(): Promise<void> {
    for (let i = 0; i < this.#threads.length; i++) {
      while (Atomics.load(this.#go, i) === 1) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /**
   * Runs a job in each thread, one at a time.
   * @param turns when they are over, each goes on to its end, the last one first
   */
  run(jobs: readonly Job[], turns: readonly Turn[]): Outcome[] {
    const outcomes: (Outcome | undefined)[] = jobs.map(() => undefined);
    for (const [i, job] of jobs.entries()) this.#threads[i]!.port.postMessage(job);
    const step = (i: number): boolean => {
      if (outcomes[i] !== undefined) return false;
      Atomics.store(this.#go, i, 1);
      Atomics.notify(this.#go, i);
      if (Atomics.wait(this.#go, i, 1, 10_000) === "timed-out") throw new Error(`thread ${i} is stuck`);
      const message = receiveMessageOnPort(this.#threads[i]!.port)?.message as Outcome | string | undefined;
      if (typeof message === "string") throw new Error(message);
      outcomes[i] = message;
      return message === undefined;
    };
    for (const [thread, count, what] of turns) {
      for (let left = count; left > 0 && step(thread); ) {
        if (what === "steps" || Atomics.load(this.#swaps, thread) === 1) left--;
      }
    }
    for (let i = jobs.length; i-- > 0; ) while (step(i));
    return outcomes as Outcome[];
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
    for (const { port } of this.#threads) port.close();
  }
}
