import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { StallWatch, type Watched } from "../../../core/threads/stall-watch.ts";
import { TimerClock } from "../../support/attempts.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A thread whose loop and processor time a test decides on. */
class FakeThread implements Watched {
  readonly vitals = { beatAt: 0 };
  isAlive = true;
  isBuilding = false;
  /** Share of the time that it is at work; undefined when it cannot say. */
  load: number | undefined = 0;
  readonly #clock: TimerClock;

  constructor(clock: TimerClock) {
    this.#clock = clock;
    this.beat();
  }

  beat(): void {
    this.vitals.beatAt = this.#clock.monotonic();
  }

  usedMs(): Promise<number> {
    if (this.load === undefined) return new Promise(() => {});
    return Promise.resolve(this.#clock.monotonic() * this.load);
  }
}

function setUp(count = 1) {
  const clock = new TimerClock();
  const threads = Array.from({ length: count }, () => new FakeThread(clock));
  const stalled: [thread: number, silentMs: number][] = [];
  const watch = new StallWatch(
    clock,
    () => threads,
    (thread, silentMs) => {
      thread.isAlive = false;
      stalled.push([threads.indexOf(thread), silentMs]);
    },
  );
  /** Time passes; threads that are not `silent` show that they live. */
  const pass = async (ms: number, silent: readonly FakeThread[] = []): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 100) {
      await vi.advanceTimersByTimeAsync(100);
      for (const thread of threads) if (!silent.includes(thread)) thread.beat();
    }
  };
  return { threads, stalled, watch, pass, thread: threads[0]! };
}

describe("a thread", () => {
  it("that shows that it lives is left alone, however busy it is", async () => {
    const { stalled, pass, thread } = setUp();
    thread.load = 1;
    await pass(60_000);
    expect(stalled).toEqual([]);
  });

  it("that is at work and does not come round is given up after a second, once", async () => {
    const { stalled, pass, threads } = setUp(2);
    const [stuck] = threads;
    stuck!.load = 1;
    await pass(800, [stuck!]);
    expect(stalled).toEqual([]);
    await pass(5000, [stuck!]);
    expect(stalled).toHaveLength(1);
    expect(stalled[0]![0]).toBe(0);
    expect(stalled[0]![1]).toBeGreaterThanOrEqual(1000);
    expect(stalled[0]![1]).toBeLessThanOrEqual(1500);
  });

  it("that gets no time from a busy machine, or waits for something, is given up only after seconds", async () => {
    const { stalled, pass, thread } = setUp();
    thread.load = 0.2;
    await pass(2800, [thread]);
    expect(stalled).toEqual([]);
    await pass(800, [thread]);
    expect(stalled).toHaveLength(1);
  });

  it("that cannot even say what it has used is given up after seconds", async () => {
    const { stalled, pass, thread } = setUp();
    thread.load = undefined;
    await pass(2800, [thread]);
    expect(stalled).toEqual([]);
    await pass(800, [thread]);
    expect(stalled).toHaveLength(1);
  });

  it("that comes round in between begins anew", async () => {
    const { stalled, pass, thread } = setUp();
    thread.load = 1;
    for (let i = 0; i < 10; i++) {
      await pass(800, [thread]);
      await pass(300);
    }
    expect(stalled).toEqual([]);
  });

  it("that comes round once, late, and then hangs, is given a second from there", async () => {
    const { stalled, pass, thread } = setUp();
    thread.load = 1;
    await pass(900, [thread]);
    thread.beat();
    await pass(700, [thread]);
    expect(stalled).toEqual([]);
    await pass(900, [thread]);
    expect(stalled).toHaveLength(1);
  });

  it("that builds a configuration has a minute", async () => {
    const { stalled, pass, thread } = setUp();
    thread.load = 1;
    thread.isBuilding = true;
    await pass(55_000, [thread]);
    expect(stalled).toEqual([]);
    await pass(6000, [thread]);
    expect(stalled).toHaveLength(1);
  });

  it("that has not begun to serve, or is dead, is nobody's business", async () => {
    const { stalled, pass, threads } = setUp(2);
    threads[0]!.vitals.beatAt = 0;
    threads[1]!.isAlive = false;
    for (const thread of threads) thread.load = 1;
    await pass(10_000, threads);
    expect(stalled).toEqual([]);
  });
});

it("blames nobody when whoever watches was kept from it", async () => {
  const { stalled, watch, thread, pass } = setUp();
  thread.load = 1;
  await pass(700, [thread]);
  vi.setSystemTime(Date.now());
  // The process was stopped for a while: the clock went on, and no timer ran.
  const real = TimerClock.prototype.monotonic;
  const shift = vi.spyOn(TimerClock.prototype, "monotonic").mockImplementation(function (this: TimerClock) {
    return real.call(this) + 5000;
  });
  watch.look();
  expect(stalled).toEqual([]);
  thread.beat();
  await pass(2000);
  expect(stalled).toEqual([]);
  shift.mockRestore();
});

it("stops looking when it is closed", async () => {
  const { stalled, watch, pass, thread } = setUp();
  thread.load = 1;
  watch.close();
  await pass(5000, [thread]);
  expect(stalled).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});

it("does not keep a thread in memory that ended for another reason while it was silent", async () => {
  const { pass, threads } = setUp();
  await pass(800, threads);
  const gone = new WeakRef(threads[0]!);
  threads[0] = new FakeThread(new TimerClock());
  await pass(200);
  vi.useRealTimers();
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc!();
  expect(gone.deref()).toBeUndefined();
});
