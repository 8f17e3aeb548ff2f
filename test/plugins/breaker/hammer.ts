/** A thread that works on a circuit as hard as it can. What it does is its `workerData`; what came of it, a message. */
import { parentPort, workerData } from "node:worker_threads";
import { systemClock } from "../../../core/clock.ts";
import { SharedMemory, type SharedMemoryHandle } from "../../../core/threads/shared-memory.ts";
import { CircuitCell } from "../../../plugins/breaker/cell.ts";
import { Circuit, type CircuitOptions } from "../../../plugins/breaker/circuit.ts";

export interface HammerTask {
  readonly handle: SharedMemoryHandle;
  readonly thread: number;
  readonly options: CircuitOptions;
  /** All begin when so many are there. */
  readonly gate: Int32Array<SharedArrayBuffer>;
  readonly threads: number;
  /** `count`: settles requests, each tenth a failure. `admit`: only asks. `fail`: lets requests in and fails them. */
  readonly job: "count" | "admit" | "fail";
  readonly times: number;
}

export interface HammerResult {
  readonly admitted: number;
  /** How often this thread made the circuit change, by state. */
  readonly told: Record<"open" | "half-open" | "closed" | "recovered", number>;
}

export const noneTold = (): HammerResult["told"] => ({ open: 0, "half-open": 0, closed: 0, recovered: 0 });

/** The circuit of a task, as seen by one thread. */
export function meetCircuit({ handle, thread, options }: HammerTask, told: HammerResult["told"]): Circuit {
  const cell = new CircuitCell(new SharedMemory(handle, thread).circuits, "hammered", {
    free: 1e6,
    otherwise: 1e6,
  });
  const context = {
    clock: systemClock,
    thread,
    random: Math.random,
    onTransition: (to: keyof HammerResult["told"]) => void told[to]++,
    onRecovered: () => void told.recovered++,
    onLocated() {},
  };
  return new Circuit(options, context, cell);
}

if (parentPort !== null) run(parentPort, workerData as HammerTask);

function run(port: NonNullable<typeof parentPort>, task: HammerTask): void {
  const { gate, threads, job, times } = task;
  const told = noneTold();
  const circuit = meetCircuit(task, told);
  Atomics.add(gate, 0, 1);
  while (Atomics.load(gate, 0) < threads);
  let admitted = 0;
  for (let i = 0; i < times; i++) {
    const ticket = circuit.admit();
    if (ticket === 0) continue;
    admitted++;
    if (job === "admit") continue;
    const outcome = job === "fail" || i % 10 === 0 ? "failure" : "success";
    circuit.settle(ticket, outcome, systemClock.monotonic());
  }
  circuit.close();
  port.postMessage({ admitted, told } satisfies HammerResult);
}
