/**
 * A thread whose every atomic operation waits for its turn, so that a test decides how threads interleave, and after
 * which operation one ends. See stepped-threads.ts.
 */
import { receiveMessageOnPort, workerData } from "node:worker_threads";
import { CellTable } from "../../core/threads/cell-table.ts";
import type { Job, Outcome, ThreadData } from "./stepped-threads.ts";

const { go, swaps, me, port } = workerData as ThreadData;
const real = {
  ...Object.fromEntries(Object.getOwnPropertyNames(Atomics).map((name) => [name, Atomics[name as "load"]])),
} as unknown as typeof Atomics;

/** The thread ends here. */
class End extends Error {}

let job: Job | undefined;
let left = 0;

function waitForTurn(): void {
  real.store(go, me, 0);
  real.notify(go, me);
  while (real.load(go, me) === 0) real.wait(go, me, 0);
}

for (const name of ["load", "store", "add", "compareExchange"] as const) {
  const operation = real[name] as (array: unknown, index: number, ...rest: unknown[]) => unknown;
  const stepped = (array: Int32Array | BigInt64Array, index: number, ...rest: unknown[]): unknown => {
    const word = array instanceof BigInt64Array ? 2 * index : index;
    if (job?.watched.some(([from, to]) => word >= from && word < to)) {
      if (left-- === 0) throw new End();
      real.store(swaps, me, array instanceof BigInt64Array ? 1 : 0);
      waitForTurn();
    }
    return operation(array, index, ...rest);
  };
  Object.assign(Atomics, { [name]: stepped });
}

function run({ memory, size, keys, nowMs, ttlMs, endsAfter }: Job): Outcome {
  const outcome: Outcome = { cells: [], added: keys.map(() => 0), strangers: 0 };
  let table: CellTable | undefined;
  left = endsAfter;
  for (const [i, key] of keys.entries()) {
    try {
      table ??= new CellTable(memory, size, 3, me);
      const cell = table.locate(key, ttlMs, nowMs);
      outcome.cells.push([key, cell]);
      if (cell === -1) continue;
      const owner = Atomics.compareExchange(table.words, cell + 1, 0, Number(key));
      if (owner !== 0 && owner !== Number(key)) outcome.strangers++;
      Atomics.add(table.words, cell, 1);
      outcome.added[i] = 1;
    } catch (error) {
      if (!(error instanceof End)) throw error;
      left = Number.POSITIVE_INFINITY;
      table = undefined;
    }
  }
  // One takes its place even when there is nothing left to do.
  table ??= new CellTable(memory, size, 3, me);
  return outcome;
}

for (;;) {
  waitForTurn();
  job = receiveMessageOnPort(port)!.message as Job;
  try {
    port.postMessage(run(job));
  } catch (error) {
    port.postMessage(String((error as Error).stack));
  }
  job = undefined;
}
