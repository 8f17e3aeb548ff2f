import { access, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import {
  type NotProfiled,
  Profiler,
  profileOwnThread,
  profileWorker,
} from "../../../core/observe/profiling.ts";
import { FakeProfiledThread } from "../../support/profiled-thread.ts";

afterEach(() => void vi.useRealTimers());

function setUp() {
  const thread = new FakeProfiledThread();
  const client = new AbortController();
  return { thread, profiler: new Profiler(thread), client };
}

/** Names of the functions in a .cpuprofile. */
function functionsOf(profile: string): string[] {
  const { nodes } = JSON.parse(profile) as { nodes: { callFrame: { functionName: string } }[] };
  return nodes.map(({ callFrame }) => callFrame.functionName);
}

describe("a CPU profile", () => {
  it("takes as long as it is asked to", async () => {
    vi.useFakeTimers();
    const { thread, profiler, client } = setUp();
    const profile = profiler.cpuProfile(2000, client.signal);
    await vi.advanceTimersByTimeAsync(1999);
    expect(thread.trace).toEqual(["start"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await profile).toBe('{"nodes":[]}');
    expect(vi.getTimerCount()).toBe(0);
  });

  it("ends when nobody wants it any more", async () => {
    vi.useFakeTimers();
    const { thread, profiler, client } = setUp();
    const profile = profiler.cpuProfile(300_000, client.signal);
    await vi.advanceTimersByTimeAsync(5);
    client.abort(new Error("the client left"));
    await expect(profile).rejects.toThrow("the client left");
    expect(thread.trace).toEqual(["start", "stop"]);
    expect(vi.getTimerCount()).toBe(0);
    await expect(profiler.cpuProfile(300_000, client.signal)).rejects.toThrow("the client left");
  });

  it("is shorter when the thread ends, and none when it cannot be had then", async () => {
    const { thread, profiler, client } = setUp();
    const short = profiler.cpuProfile(300_000, client.signal);
    const { profile } = thread;
    thread.die();
    thread.profile = profile;
    expect(await short).toBe('{"nodes":[]}');
    thread.die();
    await expect(profiler.cpuProfile(300_000, client.signal)).rejects.toMatchObject({
      name: "NotProfiled",
      reason: "gone",
    } satisfies Partial<NotProfiled>);
  });

  it("is given up when the thread ends before it began, or had ended", async () => {
    const { thread, profiler, client } = setUp();
    const unanswered = (): Promise<never> => new Promise(() => {});
    thread.startCpuProfile = unanswered;
    thread.heap = unanswered;
    const taken = profiler.cpuProfile(1, client.signal);
    thread.die();
    const gone = { name: "NotProfiled", reason: "gone" };
    await expect(taken).rejects.toMatchObject(gone);
    await expect(profiler.cpuProfile(1, client.signal)).rejects.toMatchObject(gone);
    await expect(profiler.heapSnapshot()).rejects.toMatchObject(gone);
  });

  it("is given up when the thread ends while it tells what was found", async () => {
    const { thread, profiler, client } = setUp();
    const asked = Promise.withResolvers<void>();
    thread.profile = () => {
      asked.resolve();
      return new Promise(() => {});
    };
    const taken = profiler.cpuProfile(1, client.signal);
    await asked.promise;
    thread.die();
    await expect(taken).rejects.toMatchObject({ name: "NotProfiled", reason: "gone" });
  });

  it("is not taken while another one is, or a heap snapshot; afterwards it is", async () => {
    const { thread, profiler, client } = setUp();
    const busy = { name: "NotProfiled", reason: "busy" };
    const first = profiler.cpuProfile(300_000, client.signal);
    await expect(profiler.cpuProfile(1, client.signal)).rejects.toMatchObject(busy);
    await expect(profiler.heapSnapshot()).rejects.toMatchObject(busy);
    client.abort();
    await expect(first).rejects.toThrow();
    thread.heap = async () => {
      throw new Error("no space left");
    };
    await expect(profiler.heapSnapshot()).rejects.toThrow("no space left");
    expect(await profiler.cpuProfile(1, new AbortController().signal)).toBe('{"nodes":[]}');
  });

  it("of this thread tells what it did", async () => {
    const signal = new AbortController().signal;
    const timer = setInterval(function burn() {
      for (const end = performance.now() + 20; performance.now() < end; );
    }, 1);
    onTestFinished(() => clearInterval(timer));
    expect(functionsOf(await new Profiler(profileOwnThread()).cpuProfile(200, signal))).toContain("burn");
  });
});

describe("a heap snapshot", () => {
  it("is a stream of what the thread wrote, and leaves no file", async () => {
    const { thread, profiler } = setUp();
    const { stream, bytes } = await profiler.heapSnapshot();
    await expect(access(thread.trace[0]!)).rejects.toThrow("ENOENT");
    await expect(access(dirname(thread.trace[0]!))).rejects.toThrow("ENOENT");
    expect(await text(stream)).toBe('{"snapshot":{}}');
    expect(bytes).toBe(15);
  });

  it("leaves no file when the thread cannot write it", async () => {
    const { thread, profiler } = setUp();
    thread.heap = async () => {
      thread.die();
      throw new Error("the thread ended");
    };
    await expect(profiler.heapSnapshot()).rejects.toMatchObject({ name: "NotProfiled", reason: "gone" });
    await expect(access(dirname(thread.trace[0]!))).rejects.toThrow("ENOENT");
  });

  it("of this thread has what is in its memory; whoever watches it is told before", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-test-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    vi.stubEnv("TMPDIR", folder);
    onTestFinished(() => void vi.unstubAllEnvs());
    class OnlyOfThisTest {}
    const kept = new OnlyOfThisTest();
    const excuses: number[] = [];
    const own = profileOwnThread((ms) => void excuses.push(ms));
    const { stream, bytes } = await new Profiler(own).heapSnapshot();
    expect(excuses).toEqual([120_000, 0]);
    expect(await readdir(folder)).toEqual([]);
    const snapshot = await text(stream);
    expect(Buffer.byteLength(snapshot)).toBe(bytes);
    expect((JSON.parse(snapshot) as { snapshot: object }).snapshot).toHaveProperty("meta");
    expect([snapshot.includes("OnlyOfThisTest"), kept]).toEqual([true, {}]);
  });
});

describe("a worker that is stuck", () => {
  const SOURCE = `
    const { parentPort } = require("node:worker_threads");
    function spinForEver() { for (;;) Math.sqrt(performance.now()); }
    parentPort.on("message", () => { parentPort.postMessage("stuck"); spinForEver(); });
  `;

  async function startWorker() {
    const worker = new Worker(SOURCE, { eval: true });
    onTestFinished(async () => void (await worker.terminate()));
    const gone = new AbortController();
    worker.once("exit", () => gone.abort());
    const noHeap = (): Promise<void> =>
      new Promise((_, reject) => worker.once("exit", () => reject(new Error("it ended"))));
    const profiler = new Profiler(profileWorker(worker, gone.signal, noHeap));
    const stuck = new Promise((resolve) => worker.once("message", resolve));
    worker.postMessage("");
    await stuck;
    return { worker, profiler, signal: new AbortController().signal };
  }

  it("can be profiled", async () => {
    const { profiler, signal } = await startWorker();
    expect(functionsOf(await profiler.cpuProfile(200, signal))).toContain("spinForEver");
  });

  it("may be ended while it is profiled, and while its heap is awaited", async () => {
    for (const take of ["cpu", "heap"]) {
      const { worker, profiler, signal } = await startWorker();
      const taken = take === "cpu" ? profiler.cpuProfile(300_000, signal) : profiler.heapSnapshot();
      await expect(profiler.heapSnapshot()).rejects.toMatchObject({ reason: "busy" });
      await worker.terminate();
      await expect(taken).rejects.toMatchObject({ name: "NotProfiled", reason: "gone" });
    }
  });
});
