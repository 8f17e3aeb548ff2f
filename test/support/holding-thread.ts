/** A thread that takes and gives back slots as fast as it can; it tells how often there were more than the limit. */
import { parentPort, workerData } from "node:worker_threads";
import { SharedMemory, type SharedMemoryHandle } from "../../core/threads/shared-memory.ts";
import { Held } from "../../plugins/concurrency/held.ts";

/** What {@link workerData} is. */
export interface HoldingData {
  readonly handle: SharedMemoryHandle;
  readonly thread: number;
  readonly limit: number;
  /** How often it takes one. */
  readonly times: number;
  /** Who waits for the others to begin, and how many slots are surely held. */
  readonly witness: Int32Array<SharedArrayBuffer>;
}

const { handle, thread, limit, times, witness } = workerData as HoldingData;
const held = new Held(new SharedMemory(handle, thread), "key", 0);
Atomics.add(witness, 0, 1);
while (Atomics.load(witness, 0) < handle.threads);

let tooMany = 0;
for (let taken = 0; taken < times; ) {
  if (!held.tryTake(limit, 0, false)) continue;
  taken++;
  if (Atomics.add(witness, 1, 1) >= limit) tooMany++;
  Atomics.add(witness, 1, -1);
  held.add(-1);
}
parentPort!.postMessage(tooMany);
