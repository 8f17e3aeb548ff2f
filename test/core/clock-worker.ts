/** A thread that tells by how much its clock is behind that of the machine. */
import { parentPort } from "node:worker_threads";
import { monotonicMs } from "../../core/clock.ts";

let behindMs = Number.NEGATIVE_INFINITY;
for (let i = 0; i < 100; i++) {
  behindMs = Math.max(behindMs, Number(process.hrtime.bigint()) / 1e6 - monotonicMs());
}
parentPort!.postMessage(behindMs);
