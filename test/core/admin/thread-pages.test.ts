/** Threads over a real admin listener: what is shown of them, and what is saved from them. */
import { describe, expect, it, onTestFinished } from "vitest";
import { Admin } from "../../../core/admin/admin.ts";
import type { Control } from "../../../core/control.ts";
import { MergedMetrics } from "../../../core/observe/merged-metrics.ts";
import { GatewayMetrics } from "../../../core/observe/metrics.ts";
import type { ObservedThread } from "../../../core/observe/observed-thread.ts";
import { Profiler } from "../../../core/observe/profiling.ts";
import { FakeLog } from "../../support/harness.ts";
import { FakeProfiledThread } from "../../support/profiled-thread.ts";

const STARTED_AT = Date.UTC(2026, 0, 2, 3, 4, 5);

function observe(
  name: string,
  thread: FakeProfiledThread,
  more: Partial<ObservedThread> = {},
): ObservedThread {
  return {
    name,
    state: "running",
    startedAt: STARTED_AT,
    replacements: 0,
    lastReason: undefined,
    runningScript: undefined,
    profiler: new Profiler(thread),
    ...more,
  };
}

async function setUp(token = "") {
  const thread = new FakeProfiledThread();
  const own = new GatewayMetrics();
  const control = {
    log: new FakeLog(),
    metrics: new MergedMetrics(own, "control"),
    threads: [
      observe("control", new FakeProfiledThread()),
      observe("0", thread, { runningScript: "greet" }),
      observe("1", new FakeProfiledThread(), {
        state: "replacing",
        startedAt: undefined,
        replacements: 2,
        lastReason: "stall",
        profiler: undefined,
      }),
    ],
  };
  onTestFinished(() => control.metrics.close());
  const admin = new Admin({ address: "127.0.0.1:0", token }, control as unknown as Control);
  await admin.listen();
  onTestFinished(() => admin.close());
  const ask = (path: string, init?: RequestInit): Promise<Response> => fetch(admin.url + path, init);
  const read = async (path: string): Promise<[number, unknown]> => {
    const reply = await ask(path);
    return [reply.status, await reply.json()];
  };
  return { admin, ask, read, control, thread, own };
}

describe("the page of threads", () => {
  it("tells what each does, and what is known of it", async () => {
    const { read, control, own } = await setUp();
    own.active = 1;
    const gauges = new GatewayMetrics();
    gauges.active = 3;
    gauges.collect("sluice_heap_used_bytes", "H.", "gauge", () => [[{}, 5000]], "thread");
    control.metrics.add({ thread: 0, snapshot: () => gauges.snapshot() });
    const reading = {
      eventLoopDelayMs: { p50: 0, p99: 0, max: 0 },
      eventLoopUtilization: 0,
      heap: { usedBytes: 0, totalBytes: 0 },
    };
    const all = {
      state: "running",
      startedAt: "2026-01-02T03:04:05.000Z",
      replacements: 0,
      lastReason: null,
      runningScript: null,
    };
    expect(await read("/admin/threads")).toEqual([
      200,
      [
        { thread: "control", ...all, ...reading, activeRequests: 1 },
        {
          thread: "0",
          ...all,
          ...reading,
          runningScript: "greet",
          activeRequests: 3,
          heap: { usedBytes: 5000, totalBytes: 0 },
        },
        {
          thread: "1",
          state: "replacing",
          startedAt: null,
          replacements: 2,
          lastReason: "stall",
          runningScript: null,
        },
      ],
    ]);
  });
});

describe("the page of CPU profiles", () => {
  it("gives a file", async () => {
    const { ask } = await setUp();
    const reply = await ask("/admin/profile?seconds=1&thread=0");
    expect(reply.status).toBe(200);
    expect(reply.headers.get("content-disposition")).toMatch(
      /^attachment; filename="sluice-0-\d{8}T\d{6}Z\.cpuprofile"$/,
    );
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expect(await reply.json()).toEqual({ nodes: [] });
  });

  it.each(["0", "301", "-1", "1.5", "1e1", "", "ten", "0x5", "99999999999999999999"])(
    "refuses %j seconds",
    async (seconds) => {
      const { read, thread } = await setUp();
      expect(await read(`/admin/profile?seconds=${seconds}`)).toEqual([
        400,
        { error: "seconds must be a whole number from 1 to 300" },
      ]);
      expect(thread.trace).toEqual([]);
    },
  );

  it("knows the threads that there are, and which of them are being replaced", async () => {
    const { read } = await setUp();
    for (const page of ["profile", "heap"]) {
      expect(await read(`/admin/${page}?thread=7`)).toEqual([
        404,
        { error: "there is none of this name", known: ["control", "0", "1"] },
      ]);
      expect(await read(`/admin/${page}?thread=1`)).toEqual([503, { error: "the thread is being replaced" }]);
    }
  });

  it("takes one at a time of a thread, and ends when the client leaves", async () => {
    const { ask, read, thread } = await setUp();
    const client = new AbortController();
    const first = ask("/admin/profile?seconds=300", { signal: client.signal }).catch(() => "left");
    await expect.poll(() => thread.trace).toEqual(["start"]);
    const busy = [409, { error: "another profile of this thread is being taken" }];
    expect(await read("/admin/profile?seconds=1")).toEqual(busy);
    expect(await read("/admin/heap")).toEqual(busy);
    expect((await ask("/admin/heap?thread=control")).status).toBe(200);
    client.abort();
    expect(await first).toBe("left");
    await expect.poll(() => thread.trace).toEqual(["start", "stop"]);
    expect((await ask("/admin/heap")).status).toBe(200);
  });

  it("ends when the admin listener closes", async () => {
    const { admin, ask, thread } = await setUp();
    const asked = ask("/admin/profile?seconds=300").catch(() => "cut off");
    await expect.poll(() => thread.trace).toEqual(["start"]);
    await admin.close();
    expect(await asked).toBe("cut off");
    await expect.poll(() => thread.trace).toEqual(["start", "stop"]);
  });

  it("says so when the thread ends before there is a profile", async () => {
    const { read, thread } = await setUp();
    const asked = read("/admin/profile?seconds=300");
    await expect.poll(() => thread.trace).toEqual(["start"]);
    thread.die();
    expect(await asked).toEqual([503, { error: "the thread has ended meanwhile" }]);
  });
});

describe("the page of heap snapshots", () => {
  it("gives a file", async () => {
    const { ask } = await setUp();
    const reply = await ask("/admin/heap");
    expect(reply.headers.get("content-disposition")).toMatch(
      /^attachment; filename="sluice-0-\d{8}T\d{6}Z\.heapsnapshot"$/,
    );
    expect([reply.headers.get("content-length"), await reply.json()]).toEqual(["15", { snapshot: {} }]);
  });

  it("says why there is none", async () => {
    const { read, thread } = await setUp();
    thread.heap = async () => {
      throw new Error("ENOSPC: no space left on device");
    };
    expect(await read("/admin/heap")).toEqual([
      500,
      { error: "it could not be taken: ENOSPC: no space left on device" },
    ]);
  });
});

describe("pages that cost something", () => {
  const PAGES = ["/admin/threads", "/admin/profile?seconds=300", "/admin/heap"];

  it("need the token", async () => {
    const { ask, thread } = await setUp("s3cret");
    for (const page of PAGES) expect((await ask(page)).status).toBe(401);
    expect(thread.trace).toEqual([]);
  });

  it("do nothing when only the head is asked for", async () => {
    const { ask, thread } = await setUp();
    for (const page of PAGES) {
      const reply = await ask(page, { method: "HEAD" });
      expect([reply.status, await reply.text()]).toEqual([200, ""]);
    }
    expect(thread.trace).toEqual([]);
  });

  it("cannot be had by what another site embeds", async () => {
    const { ask, thread } = await setUp();
    for (const page of PAGES) {
      for (const site of ["cross-site", "same-site"]) {
        expect((await ask(page, { headers: { "sec-fetch-site": site } })).status).toBe(403);
      }
    }
    expect(thread.trace).toEqual([]);
    for (const site of ["none", "same-origin"]) {
      expect((await ask("/admin/threads", { headers: { "sec-fetch-site": site } })).status).toBe(200);
    }
  });

  it("take the only thread by either of its names", async () => {
    const { ask, control } = await setUp();
    const only = new FakeProfiledThread();
    control.threads = [observe("0", only)];
    for (const name of ["0", "control"]) {
      expect((await ask(`/admin/heap?thread=${name}`)).headers.get("content-disposition")).toContain(
        "sluice-0-",
      );
    }
    expect(only.trace).toHaveLength(2);
  });
});
