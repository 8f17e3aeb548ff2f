/** What operators see of real data threads, and what they save from them, also while one hangs. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { monotonicMs } from "../../../core/clock.ts";
import { createSharedMemory } from "../../../core/threads/shared-memory.ts";
import { createVitals } from "../../../core/threads/vitals.ts";
import { NO_SOCKETS } from "../../../core/threads/sockets.ts";
import { WorkerThread } from "../../../core/threads/worker-thread.ts";
import {
  type Connection,
  connectTo,
  hostileConfig,
  startThreaded,
  type ThreadedGateway,
} from "../../support/threads.ts";

let gateway: ThreadedGateway;
let connection: Connection;

const ask = (path: string): Promise<Response> => fetch(gateway.control.adminUrl + path);

async function threads(): Promise<Record<string, unknown>[]> {
  return (await ask("/admin/threads")).json() as Promise<Record<string, unknown>[]>;
}

describe("data threads", () => {
  beforeEach(async () => {
    gateway = await startThreaded(hostileConfig({}, { admin: { address: "127.0.0.1:0" } }));
    connection = await connectTo(1, gateway.url);
  });

  afterEach(async () => {
    connection.close();
    await gateway[Symbol.asyncDispose]();
  });

  it("are shown with what is known of them; one that was replaced, with why", async () => {
    const heap = { usedBytes: expect.any(Number), totalBytes: expect.any(Number) };
    const running = {
      state: "running",
      startedAt: expect.any(String),
      replacements: 0,
      lastReason: null,
      heap,
    };
    expect(await threads()).toMatchObject([
      { thread: "control", ...running },
      { thread: "0", ...running },
      { thread: "1", ...running },
    ]);
    await connection.ask("exit").catch(() => {});
    await gateway.logged(({ msg }) => msg === "a new data thread serves");
    expect((await threads())[2]).toMatchObject({ ...running, replacements: 1, lastReason: "exit" });
  });

  it("measure themselves; of the process there is one", async () => {
    const text = await (await ask("/metrics")).text();
    for (const thread of ["control", "0", "1"]) {
      for (const series of [
        `sluice_event_loop_delay_seconds{thread="${thread}",quantile="0.99"}`,
        `sluice_event_loop_utilization{thread="${thread}"}`,
        `sluice_heap_used_bytes{thread="${thread}"}`,
      ]) {
        expect(text.split("\n").filter((line) => line.startsWith(series))).toHaveLength(1);
      }
    }
    expect(text.match(/^process_resident_memory_bytes /gm)).toHaveLength(1);
    expect(text).not.toContain("NaN");
  });

  it("write down their heaps, and go on", async () => {
    const reply = await ask("/admin/heap?thread=1");
    expect(reply.status).toBe(200);
    const nodes = /"node_count":(\d+)/.exec(await reply.text())?.[1];
    expect(Number(nodes)).toBeGreaterThan(10_000);
    expect(await connection.ask()).toBe("1 ");
    expect(gateway.lines.filter(({ reason }) => reason !== undefined)).toEqual([]);
  });

  it("tell by a profile what they hang in, up to their end", async () => {
    const asked = ask("/admin/profile?seconds=300&thread=1");
    await expect.poll(async () => (await ask("/admin/heap?thread=1")).status).toBe(409);
    await connection.ask("stall").catch(() => {});
    const { nodes } = (await (await asked).json()) as {
      nodes: { hitCount: number; callFrame: { url: string } }[];
    };
    const busiest = nodes.reduce((most, node) => (node.hitCount > most.hitCount ? node : most));
    expect(busiest.callFrame.url).toContain("hostile-plugins.ts");
  });
});

describe("a data thread that writes down its heap", () => {
  it("says beforehand that it will give no sign of life for long", async () => {
    const start = {
      thread: 0,
      memory: createSharedMemory(1),
      vitals: createVitals(1),
      level: "silent" as const,
      sockets: [],
    };
    const entry = new URL("../../support/hostile-worker.ts", import.meta.url);
    const calls = { askStore: async () => undefined, giveUp: async () => {} };
    const thread = new WorkerThread(entry, start, { append: () => {} }, NO_SOCKETS, calls);
    const aheadMs = (): number => thread.vitals.beatAt - monotonicMs();
    const written = thread.profiler.heapSnapshot();
    await expect.poll(aheadMs, { interval: 1 }).toBeGreaterThan(60_000);
    (await written).stream.destroy();
    expect(aheadMs()).toBeLessThan(1000);
    await thread.end();
  });
});
