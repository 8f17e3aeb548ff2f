/** A thread that counts in shared cells as fast as it can; see counting-threads.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { CellTable } from "../../core/threads/cell-table.ts";
import { COLD_KEYS, EPOCH, HOT_KEYS, LAG_TICKS, SIZE, TICK_MS, type ThreadData } from "./counting-threads.ts";

const { memory, threads, me, steps, positions, ticks, tallies } = workerData as ThreadData;
const table = new CellTable(memory, SIZE, threads, me);
const { words } = table;

/** A step begins, and holds the clock: no more time goes by before it ends than a cell lives beyond its own. */
function begin(): number {
  const tick = Atomics.load(ticks, 0);
  Atomics.store(ticks, 1 + me, tick);
  return EPOCH + tick * TICK_MS;
}

/** Has the clock go on, unless a thread is too far behind. */
function passTime(): void {
  const tick = Atomics.load(ticks, 0);
  for (let i = 1; i <= threads; i++) if (Atomics.load(ticks, i) < tick - LAG_TICKS) return;
  Atomics.compareExchange(ticks, 0, tick, tick + 1);
}

let strangers = 0;
for (let i = 0; i < steps; i++) {
  Atomics.add(positions, me, 1);
  passTime();
  const time = begin();
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
Atomics.store(ticks, 1 + me, 2 ** 30);
Atomics.store(positions, me, 2 ** 30);
parentPort!.postMessage(strangers);
