import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";

describe("the monotonic clock", () => {
  it("counts alike in threads that start all at once, on a machine that is busy with it", async () => {
    const behind = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const worker = new Worker(new URL("./clock-worker.ts", import.meta.url));
        const [ms] = (await once(worker, "message")) as [number];
        await worker.terminate();
        return ms;
      }),
    );
    expect(Math.max(...behind.map(Math.abs))).toBeLessThan(0.1);
  });
});
