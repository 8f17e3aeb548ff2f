/** Real threads on one circuit, all at the same time. */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { createSharedMemory } from "../../../core/threads/shared-memory.ts";
import type { Circuit, CircuitOptions } from "../../../plugins/breaker/circuit.ts";
import { type HammerResult, type HammerTask, meetCircuit, noneTold } from "./hammer.ts";
import { OPTIONS } from "./threads.ts";

const THREADS = 3;

async function hammer(
  job: HammerTask["job"],
  times: number,
  options: Partial<CircuitOptions>,
  prepare: (circuit: Circuit) => unknown = () => {},
): Promise<{ results: HammerResult[]; circuit: Circuit }> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const handle = createSharedMemory(THREADS);
  const task = { handle, options: { ...OPTIONS, ...options }, gate, threads: THREADS, job, times };
  const circuit = meetCircuit({ ...task, thread: THREADS }, noneTold());
  await prepare(circuit);
  const results = await Promise.all(
    Array.from({ length: THREADS }, async (_, thread) => {
      const workerData: HammerTask = { ...task, thread };
      const worker = new Worker(new URL("./hammer.ts", import.meta.url), { workerData });
      const [[result]] = await Promise.all([once(worker, "message"), once(worker, "exit")]);
      return result as HammerResult;
    }),
  );
  return { results, circuit };
}

const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);
const now = (): number => performance.now();

describe("threads that work on one circuit at the same time", () => {
  it("lose no count", async () => {
    const { circuit } = await hammer("count", 50_000, { minRequests: 1e6, withinMs: 1e9 });
    expect(circuit.describe()).toMatchObject({ requests: THREADS * 50_000, failures: THREADS * 5_000 });
    circuit.close();
  });

  it("open it once, and at the first failure that is one too many", async () => {
    const options = { consecutiveFailures: 1000, minRequests: 1e6, openForMs: 1e6, maxOpenForMs: 1e6 };
    const { results, circuit } = await hammer("fail", 50_000, options);
    expect(sum(results.map(({ told }) => told.open))).toBe(1);
    expect(circuit.describe()).toMatchObject({ state: "open" });
    const admitted = sum(results.map((result) => result.admitted));
    expect(admitted).toBeGreaterThanOrEqual(1000);
    expect(admitted).toBeLessThan(1000 + THREADS); // those that the others had under way
    circuit.close();
  });

  it("let in as many probes as may be, and no more", async () => {
    const halfOpen = async (circuit: Circuit): Promise<void> => {
      circuit.settle(circuit.admit(), "failure", now());
      await expect.poll(() => circuit.state).toBe("half-open");
    };
    const { results, circuit } = await hammer(
      "admit",
      50_000,
      { consecutiveFailures: 1, openForMs: 1, maxOpenForMs: 1, halfOpen: 1000 },
      halfOpen,
    );
    expect(sum(results.map(({ admitted }) => admitted))).toBe(1000);
    expect(circuit.describe()).toMatchObject({ probes: { started: 1000, passed: 0 } });
    circuit.close();
  });

  it("make each transition once, in whatever order", async () => {
    const options = { consecutiveFailures: 1, openForMs: 1, maxOpenForMs: 1, halfOpen: 1, recoveryMs: 1 };
    const { results, circuit } = await hammer("count", 300_000, options);
    const count = (state: keyof HammerResult["told"]): number => sum(results.map(({ told }) => told[state]));
    circuit.close();
    // Open and half-open take turns; of the half-open ones each that did not close opened again.
    expect(count("open")).toBeGreaterThan(10);
    expect([0, 1]).toContain(count("open") - count("half-open"));
    expect(count("closed")).toBeLessThanOrEqual(count("half-open"));
    expect(count("recovered")).toBeLessThanOrEqual(count("closed"));
  });
});
