/** A thread that says what the system calls it, and then waits. */
import { parentPort } from "node:worker_threads";
import { ownSystemId } from "../../core/supervisor/thread-time.ts";

parentPort!.on("message", () => {});
parentPort!.postMessage(ownSystemId());
