/** A thread that counts in shared cells as fast as it can; see counting-threads.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { CellTable } from "../../core/threads/cell-table.ts";
import { COLD_KEYS, EPOCH, HOT_KEYS, SIZE, STEP_MS, type ThreadData } from "./counting-threads.ts";

const { memory, threads, me, steps, positions, tallies } = workerData as ThreadData;
const table = new CellTable(memory, SIZE, threads, me);
const { words } = table;

/** Time goes on only as the slowest thread does, so that none takes longer for a step than a cell's time to live. */
function now(): number {
  let least = Atomics.load(positions, 0);
  for (let i = 1; i < threads; i++) least = Math.min(least, Atomics.load(positions, i));
  return EPOCH + least * STEP_MS;
}

let strangers = 0;
for (let i = 0; i < steps; i++) {
  Atomics.add(positions, me, 1);
  const time = now();
  const hot = Math.floor(Math.random() * HOT_KEYS);
  const cell = table.locate(`hot ${hot}`, 3_600_000, time);
  if (cell !== -1) {
    Atomics.add(words, cell, 1);
    Atomics.add(tallies, me * HOT_KEYS + hot, 1);
  }
  const cold = 1 + Math.floor(Math.random() * COLD_KEYS);
  const other = table.locate(`cold ${cold}`, 0, time);
  if (other === -1) continue;
  const owner = Atomics.compareExchange(words, other + 1, 0, cold);
  if (owner !== 0 && owner !== cold) strangers++;
}
Atomics.store(positions, me, 2 ** 30);
parentPort!.postMessage(strangers);
