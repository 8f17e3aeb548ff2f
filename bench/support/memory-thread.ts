/** A thread that measures one operation whenever it is told to. */
import { parentPort, workerData } from "node:worker_threads";
import { type Arena, type JobName, prepare } from "./memory-jobs.ts";

const { name, arena, thread } = workerData as { name: JobName; arena: Arena; thread: number };
const measure = prepare(name, arena, thread);
parentPort!.on("message", (count: number) => parentPort!.postMessage(measure(count)));
