/**
 * Watches whether the gateway has too much to do, and sheds load while it has. One timer; a request reads one number.
 */
import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";
import type { OverloadConfig } from "../config/checked.ts";
import { GatewayError } from "../errors.ts";
import type { Exchange, Log } from "../exchange.ts";
import type { Clock, Labels, Metrics, Stage } from "../plugin.ts";
import { retryAfterSeconds } from "../retry-after.ts";
import { parseDuration, parsePercent, parseSize } from "../units.ts";
import { Signal, shedShare } from "./pressure.ts";

/** Time between two samples. */
const SAMPLE_MS = 100;
/** Shedding is over when nothing was shed for so long. */
const CALM_MS = 5000;

/** What is measured beside time. */
export interface MemoryReadings {
  /** Bytes of memory that the process occupies. */
  processBytes(): number;
  /** Share of V8's limit that the heap of this thread occupies. */
  heapShare(): number;
  /** Bytes that the process may occupy. */
  limitBytes(): number;
}

const SYSTEM: MemoryReadings = {
  processBytes: () => process.memoryUsage.rss(),
  heapShare() {
    const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
    return used / limit;
  },
  limitBytes() {
    // Zero when it is not known, and more than there is when there is no limit.
    const constrained = process.constrainedMemory();
    return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
  },
};

/** What a monitor needs of the gateway. */
export interface OverloadContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "collect">;
  random(): number;
}

/** How many requests were shed, by tier and reason; outlives monitors. */
export class ShedCounts {
  readonly #counts = new Map<string, [Labels, number]>();

  add(tier: string, reason: string): void {
    const key = `${tier} ${reason}`;
    const entry = this.#counts.get(key);
    if (entry === undefined) this.#counts.set(key, [{ tier, reason }, 1]);
    else entry[1]++;
  }

  samples(): Iterable<readonly [Labels, number]> {
    return this.#counts.values();
  }
}

export class OverloadMonitor {
  /** 0 while all is well, 1 when there is far too much to do. */
  pressure = 0;
  /** Everybody would be shed, whoever asks. */
  isShut = false;
  readonly #context: OverloadContext;
  readonly #counts: ShedCounts;
  readonly #delay: Signal | undefined;
  readonly #memory: Signal | undefined;
  readonly #readMemory: () => number;
  /** Shares, by tier. */
  readonly #priorities: ReadonlyMap<string, number>;
  readonly #defaultPriority: number;
  readonly #best: number;
  /** One for all: a stack trace for each would cost what shedding is to spare. */
  readonly #refusal: GatewayError;
  readonly #timer: NodeJS.Timeout;
  readonly #ends: readonly (() => void)[];
  #sampledAt: number;
  /** Name of the signal that is worst. */
  #reason = "";
  #isShedding = false;
  #lastShedAt = 0;
  #shed = 0;

  constructor(
    config: OverloadConfig,
    context: OverloadContext,
    counts = new ShedCounts(),
    readings: MemoryReadings = SYSTEM,
  ) {
    this.#context = context;
    this.#counts = counts;
    const { eventLoopDelay, memory, priorities, defaultPriority, retryAfter } = config;
    this.#delay =
      eventLoopDelay &&
      new Signal("event-loop-delay", parseDuration(eventLoopDelay.from), parseDuration(eventLoopDelay.full));
    [this.#memory, this.#readMemory] = openMemory(memory, readings);
    this.#priorities = new Map(Object.entries(priorities).map(([tier, percent]) => [tier, percent / 100]));
    this.#defaultPriority = defaultPriority / 100;
    this.#best = Math.max(this.#defaultPriority, ...this.#priorities.values());
    const seconds = retryAfterSeconds(parseDuration(retryAfter));
    this.#refusal = new GatewayError("OVERLOADED", { headers: ["retry-after", String(seconds)] });
    this.#ends = this.#collect(context.metrics);
    this.#sampledAt = context.clock.monotonic() - SAMPLE_MS;
    this.sample();
    this.#timer = setInterval(() => this.sample(), SAMPLE_MS);
    this.#timer.unref();
  }

  /** Stands before the stage that answers: by then it is known who asks. */
  readonly stage: Stage = (next) => (x) => {
    if (this.pressure > 0) this.#consider(x);
    return next(x);
  };

  /** Sheds a request without asking who it is from. @throws GatewayError OVERLOADED */
  refuse(tier = ""): never {
    const now = this.#context.clock.monotonic();
    this.#lastShedAt = now;
    this.#shed++;
    this.#counts.add(tier, this.#reason);
    if (!this.#isShedding) {
      this.#isShedding = true;
      this.#context.log.warn(
        { reason: this.#reason, pressure: round(this.pressure) },
        "the gateway is overloaded: requests are shed",
      );
    }
    throw this.#refusal;
  }

  /** Measures; called by the timer. */
  sample(): void {
    const now = this.#context.clock.monotonic();
    this.#delay?.observe(Math.max(0, now - this.#sampledAt - SAMPLE_MS));
    this.#sampledAt = now;
    this.#memory?.observe(this.#readMemory());
    this.pressure = 0;
    for (const signal of [this.#delay, this.#memory]) {
      if (signal === undefined || signal.pressure <= this.pressure) continue;
      this.pressure = signal.pressure;
      this.#reason = signal.name;
    }
    this.isShut = shedShare(this.pressure, this.#best) >= 1;
    if (this.#isShedding && now - this.#lastShedAt >= CALM_MS) {
      this.#isShedding = false;
      this.#context.log.info({ shed: this.#shed }, "the gateway is not overloaded any more");
      this.#shed = 0;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    for (const end of this.#ends) end();
  }

  #consider(x: Exchange): void {
    const tier = x.consumer?.tier;
    const known = tier === undefined ? undefined : this.#priorities.get(tier);
    const share = shedShare(this.pressure, known ?? this.#defaultPriority);
    // Tiers that are not configured may be anything: they would be labels without bounds.
    if (share > 0 && this.#context.random() < share) this.refuse(known === undefined ? "" : tier);
  }

  #collect(metrics: OverloadContext["metrics"]): (() => void)[] {
    const delay = this.#delay;
    const signals = [delay, this.#memory].filter((signal) => signal !== undefined);
    return [
      metrics.collect(
        "sluice_overload_pressure",
        "0 while all is well, 1 when all that can be is shed.",
        "gauge",
        () => [[{}, this.pressure]],
        "max",
      ),
      metrics.collect(
        "sluice_overload_signal",
        "What each signal makes of the pressure.",
        "gauge",
        () => signals.map((signal) => [{ signal: signal.name }, signal.pressure]),
        "max",
      ),
      metrics.collect(
        "sluice_overload_event_loop_delay_seconds",
        "How late the event loop is, smoothed.",
        "gauge",
        () => (delay === undefined ? [] : [[{}, delay.value / 1000]]),
        "max",
      ),
      metrics.collect("sluice_shed_total", "Requests shed, by tier and reason.", "counter", () =>
        this.#counts.samples(),
      ),
    ];
  }
}

function openMemory(
  config: OverloadConfig["memory"],
  readings: MemoryReadings,
): [Signal | undefined, () => number] {
  if (config === undefined) return [undefined, () => 0];
  const { from, full, limit } = config;
  if (!from.endsWith("%")) {
    return [new Signal("memory", parseSize(from), parseSize(full)), () => readings.processBytes()];
  }
  const limitBytes = limit === undefined ? readings.limitBytes() : parseSize(limit);
  return [
    new Signal("memory", parsePercent(from), parsePercent(full)),
    () => Math.max(readings.processBytes() / limitBytes, readings.heapShare()),
  ];
}

const round = (share: number): number => Math.round(share * 100) / 100;
