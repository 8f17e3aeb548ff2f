/** How a thread is: whether its event loop keeps up, what garbage collection costs, how large its heap is. */
import {
  constants,
  monitorEventLoopDelay,
  performance,
  type PerformanceEntry,
  PerformanceObserver,
} from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import type { Clock } from "../plugin.ts";
import type { GatewayMetrics } from "./metrics.ts";
import type { Snapshot } from "./snapshot.ts";

/** Time between two samples of the event loop; finer ones wake an idle thread more often for little. */
const SAMPLE_MS = 20;
/** Quantiles are of so much time at least, and at most of twice as much when somebody looks often. */
const WINDOW_MS = 15_000;

const DELAY = "sluice_event_loop_delay_seconds";
const UTILIZATION = "sluice_event_loop_utilization";
const HEAP_USED = "sluice_heap_used_bytes";
const HEAP_TOTAL = "sluice_heap_total_bytes";

const KINDS: Readonly<Record<number, string>> = {
  [constants.NODE_PERFORMANCE_GC_MINOR]: "minor",
  [constants.NODE_PERFORMANCE_GC_MINOR_MARK_SWEEP]: "minor",
  [constants.NODE_PERFORMANCE_GC_MAJOR]: "major",
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL]: "incremental",
  [constants.NODE_PERFORMANCE_GC_WEAKCB]: "weakcb",
};

type GarbageEntry = PerformanceEntry & { readonly detail: { readonly kind: number } };

/** What the metrics of a thread say of it. */
export interface ThreadReading {
  readonly activeRequests: number;
  /** Milliseconds that the event loop came late, in the last seconds. */
  readonly eventLoopDelayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Share of the last seconds in which it was busy. */
  readonly eventLoopUtilization: number;
  readonly heap: { readonly usedBytes: number; readonly totalBytes: number };
}

/** Measures the thread that it is made in. */
export class ThreadHealth {
  readonly #clock: Clock;
  readonly #delay = monitorEventLoopDelay({ resolution: SAMPLE_MS });
  readonly #garbage: PerformanceObserver;
  #windowEnd: number;
  /** Delays of the window before this one. */
  #before: readonly number[] = [0, 0, 0];
  #loopBefore = performance.eventLoopUtilization();
  #loopStart = this.#loopBefore;

  constructor(metrics: GatewayMetrics, clock: Clock) {
    this.#clock = clock;
    this.#windowEnd = clock.monotonic() + WINDOW_MS;
    this.#delay.enable();
    const pauses = metrics.histogram(
      "sluice_gc_duration_seconds",
      "Pauses of garbage collection, by kind.",
      ["kind"],
      [0.001, 0.005, 0.025, 0.1, 0.5],
      "thread",
    );
    this.#garbage = new PerformanceObserver((list) => {
      for (const { duration, detail } of list.getEntries() as GarbageEntry[]) {
        pauses.observe(duration / 1000, { kind: KINDS[detail.kind] ?? "other" });
      }
    });
    this.#garbage.observe({ entryTypes: ["gc"] });
    this.#collect(metrics);
  }

  /** Ends the measuring; what was measured stays. */
  close(): void {
    this.#delay.disable();
    this.#garbage.disconnect();
  }

  #collect(metrics: GatewayMetrics): void {
    const gauge = (name: string, help: string, read: () => number): void =>
      void metrics.collect(name, help, "gauge", () => [[{}, read()]], "thread");
    metrics.collect(
      DELAY,
      "How late the event loop came, in the last seconds.",
      "gauge",
      () => {
        const [p50, p99, max] = this.#readDelays() as [number, number, number];
        return [
          [{ quantile: "0.5" }, p50],
          [{ quantile: "0.99" }, p99],
          [{ quantile: "1" }, max],
        ];
      },
      "thread",
    );
    gauge(UTILIZATION, "Share of the last seconds in which the event loop was busy.", () => {
      this.#turn();
      return performance.eventLoopUtilization(performance.eventLoopUtilization(), this.#loopBefore)
        .utilization;
    });
    gauge(HEAP_USED, "Bytes of the heap that are in use.", () => getHeapStatistics().used_heap_size);
    gauge(HEAP_TOTAL, "Bytes that the heap occupies.", () => getHeapStatistics().total_heap_size);
  }

  /** Seconds, those of the worse of the last two windows, so that nothing is forgotten the moment a window ends. */
  #readDelays(): number[] {
    this.#turn();
    return this.#delays().map((delay, i) => Math.max(delay, this.#before[i]!));
  }

  /** Begins a window when the last one is over. */
  #turn(): void {
    const now = this.#clock.monotonic();
    if (now < this.#windowEnd) return;
    this.#windowEnd = now + WINDOW_MS;
    this.#before = this.#delays();
    this.#delay.reset();
    this.#loopBefore = this.#loopStart;
    this.#loopStart = performance.eventLoopUtilization();
  }

  /** Median, 99th percentile and most of this window, in seconds. */
  #delays(): number[] {
    const { count, max } = this.#delay;
    if (count === 0) return [0, 0, 0];
    // What is sampled is the time between two samples.
    return [this.#delay.percentile(50), this.#delay.percentile(99), max].map((ns) =>
      Math.max(0, ns / 1e9 - SAMPLE_MS / 1000),
    );
  }
}

/** What a thread's snapshot says of it. */
export function readingOf(snapshot: Snapshot): ThreadReading {
  const valuesOf = (name: string): number[] => snapshot.find((metric) => metric.name === name)?.values ?? [];
  const [p50 = 0, p99 = 0, max = 0] = valuesOf(DELAY).map((seconds) => round(seconds * 1000));
  return {
    activeRequests: valuesOf("sluice_active_requests")[0] ?? 0,
    eventLoopDelayMs: { p50, p99, max },
    eventLoopUtilization: round(valuesOf(UTILIZATION)[0] ?? 0),
    heap: { usedBytes: valuesOf(HEAP_USED)[0] ?? 0, totalBytes: valuesOf(HEAP_TOTAL)[0] ?? 0 },
  };
}

const round = (n: number): number => Math.round(n * 1000) / 1000;
