import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { Held } from "../../../plugins/concurrency/held.ts";
import type { HoldingData } from "../../support/holding-thread.ts";

describe("what threads hold of a key", () => {
  it("is never more than the limit when two take the last one at the same moment", () => {
    const handle = createSharedMemory(2, 0);
    const [a, b] = [0, 1].map((thread) => new Held(new SharedMemory(handle, thread), "key", 0));
    const { add } = Atomics;
    let other: boolean | undefined;
    const spy = vi.spyOn(Atomics, "add").mockImplementation((...args: Parameters<typeof add>) => {
      spy.mockRestore();
      other = b!.tryTake(1, 0, false);
      return add(...args);
    });
    expect([a!.tryTake(1, 0, false), other]).toEqual([false, true]);
    b!.add(-1);
    expect(a!.tryTake(1, 0, false)).toBe(true);
  });

  it.each([1, 2])(
    "is never more than a limit of %i, with three that take and give back all the time",
    async (limit) => {
      const handle = createSharedMemory(3, 0);
      const witness = new Int32Array(new SharedArrayBuffer(8));
      const tooMany = await Promise.all(
        [0, 1, 2].map(async (thread) => {
          const workerData: HoldingData = { handle, thread, limit, times: 20_000, witness };
          const worker = new Worker(new URL("../../support/holding-thread.ts", import.meta.url), {
            workerData,
          });
          onTestFinished(() => void worker.terminate());
          return (await once(worker, "message"))[0] as number;
        }),
      );
      expect(tooMany).toEqual([0, 0, 0]);
    },
  );
});
