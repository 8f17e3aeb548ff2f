import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { GatewayMetrics } from "../../../core/observe/metrics.ts";
import { readingOf, ThreadHealth } from "../../../core/observe/thread-health.ts";
import { FakeClock } from "../../support/harness.ts";

function setUp() {
  const [clock, metrics] = [new FakeClock(), new GatewayMetrics()];
  const health = new ThreadHealth(metrics, clock);
  onTestFinished(() => health.close());
  const read = async () => readingOf(await metrics.snapshot());
  const find = async (name: string) => (await metrics.snapshot()).find((metric) => metric.name === name)!;
  /** How many collections there were. */
  const collections = async (): Promise<number> => {
    const { series, values } = await find("sluice_gc_duration_seconds");
    const width = values.length / series.length;
    return values.filter((_, i) => (i + 1) % width === 0).reduce((sum, count) => sum + count, 0);
  };
  return { clock, health, read, find, collections };
}

/** Keeps the event loop busy. */
function block(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end; );
}

function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

describe("a thread's health", () => {
  it("tells how late the event loop came, for one window more than it happened in", async () => {
    const { clock, read } = setUp();
    const most = async (): Promise<number> => (await read()).eventLoopDelayMs.max;
    // A block is only seen once two samples lie around it.
    await expect
      .poll(async () => {
        block(300);
        return most();
      })
      .toBeGreaterThan(250);
    const { eventLoopDelayMs } = await read();
    expect(eventLoopDelayMs.p99).toBeGreaterThanOrEqual(eventLoopDelayMs.p50);
    expect(eventLoopDelayMs.max).toBeGreaterThanOrEqual(eventLoopDelayMs.p99);
    clock.advance(14_999);
    expect(await most()).toBeGreaterThan(250);
    clock.advance(1);
    expect(await most()).toBeGreaterThan(250);
    clock.advance(15_000);
    expect(await most()).toBeLessThan(250);
  });

  it("tells no more than the lateness: an idle event loop is not late", async () => {
    const { read, find } = setUp();
    await expect.poll(async () => (await read()).eventLoopDelayMs.max).toBeGreaterThan(0);
    await expect.poll(async () => (await read()).eventLoopDelayMs.p50).toBeLessThan(15);
    const delay = await find("sluice_event_loop_delay_seconds");
    expect(delay.series).toEqual(['quantile="0.5"', 'quantile="0.99"', 'quantile="1"']);
    expect(delay.merge).toBe("thread");
  });

  it("tells which share of the last one or two windows the event loop was busy", async () => {
    const real = performance.eventLoopUtilization;
    const now = { active: 0, idle: 0, utilization: 0 };
    const loop = vi
      .spyOn(performance, "eventLoopUtilization")
      .mockImplementation((...args) => (args.length === 2 ? real(...args) : { ...now }));
    onTestFinished(() => loop.mockRestore());
    const { clock, read } = setUp();
    const readAfter = async (active: number, idle: number): Promise<number> => {
      clock.advance(15_000);
      now.active += active;
      now.idle += idle;
      return (await read()).eventLoopUtilization;
    };
    expect(await readAfter(15_000, 0)).toBe(1);
    expect(await readAfter(5000, 10_000)).toBe(0.333);
    expect(await readAfter(0, 15_000)).toBe(0);
  });

  it("tells of the heap", async () => {
    const { heap } = await setUp().read();
    expect(heap.usedBytes).toBeGreaterThan(1e6);
    expect(heap.totalBytes).toBeGreaterThan(heap.usedBytes);
  });

  it("counts collections of garbage by kind, until it is closed", async () => {
    const { health, find, collections } = setUp();
    collectGarbage();
    await expect.poll(collections).toBeGreaterThan(0);
    const { series, merge } = await find("sluice_gc_duration_seconds");
    expect([
      merge,
      series.every((labels) => /^kind="(minor|major|incremental|weakcb)"$/.test(labels)),
    ]).toEqual(["thread", true]);
    health.close();
    const before = await collections();
    const other = setUp();
    collectGarbage();
    await expect.poll(other.collections).toBeGreaterThan(0);
    expect(await collections()).toBe(before);
  });

  it("of a thread that measures nothing is nothing", async () => {
    expect(readingOf(await new GatewayMetrics().snapshot())).toEqual({
      activeRequests: 0,
      eventLoopDelayMs: { p50: 0, p99: 0, max: 0 },
      eventLoopUtilization: 0,
      heap: { usedBytes: 0, totalBytes: 0 },
    });
  });
});
