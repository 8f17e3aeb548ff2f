import { Worker } from "node:worker_threads";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { ownSystemId, readThreadTime } from "../../../core/supervisor/thread-time.ts";

describe("the kernel", () => {
  it("tells how much time a thread has used, and no other", () => {
    const own = ownSystemId();
    const before = readThreadTime(process.pid, own)!;
    const end = performance.now() + 60;
    while (performance.now() < end);
    const after = readThreadTime(process.pid, own)!;
    expect(after.state).toBe("R");
    expect(after.cpuMs).toBeGreaterThan(before.cpuMs);
  });

  it("calls each thread by another number", async () => {
    const entry = new URL("../../support/system-id-thread.ts", import.meta.url);
    const worker = new Worker(entry);
    const [id] = (await once(worker, "message")) as [number];
    expect(id).not.toBe(ownSystemId());
    await expect.poll(() => readThreadTime(process.pid, id)?.state).toBe("S");
    await worker.terminate();
    expect(readThreadTime(process.pid, id)).toBeUndefined();
  });

  it("tells nothing of a process that has ended", () => {
    expect(readThreadTime(2 ** 22 + 1, 2 ** 22 + 1)).toBeUndefined();
  });
});
