/** A thread that takes from limits as fast as it can; see limiting-threads.ts. */
import { parentPort, workerData } from "node:worker_threads";
import { SharedMemory } from "../../core/threads/shared-memory.ts";
import { createMemoryLimiter } from "../../plugins/limit/memory-limiter.ts";
import { hostOf, type Job, keyOf, type ThreadData } from "./limiting-threads.ts";

const { handle, thread, threads } = workerData as ThreadData;
const host = hostOf(new SharedMemory(handle, thread));

parentPort!.on("message", ({ scope, plan, keys, rounds, cost, isGivenBack, gate, tallies }: Job) => {
  const limiter = createMemoryLimiter(scope, plan, host);
  Atomics.add(gate, 0, 1);
  while (Atomics.load(gate, 0) < threads);
  for (let i = 0; i < rounds; i++) {
    for (let k = 0; k < keys; k++) {
      const decision = limiter.take(keyOf(k), cost);
      if (decision.outcome !== "allowed") continue;
      if (isGivenBack && i % 3 !== 0) limiter.settle(keyOf(k), decision, -cost);
      else Atomics.add(tallies, k, cost);
    }
  }
  parentPort!.postMessage("done");
});
