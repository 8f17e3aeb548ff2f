/** The threads of a gateway as operators see them. */
import type { Clock } from "../plugin.ts";
import type { GatewayMetrics } from "./metrics.ts";
import { type Excuse, profileOwnThread, Profiler } from "./profiling.ts";
import { ThreadHealth } from "./thread-health.ts";

/** A thread, or the place of one that is being replaced. */
export interface ObservedThread {
  /** `control`, or its number. */
  readonly name: string;
  /** `starting` until it serves for the first time, `replacing` while there is none. */
  readonly state: "starting" | "running" | "replacing";
  /** Milliseconds since the epoch; undefined while there is none. */
  readonly startedAt: number | undefined;
  /** How many there were before it, and why the last one ended. */
  readonly replacements: number;
  readonly lastReason: string | undefined;
  /** Name of the script that it is in the middle of. */
  readonly runningScript: string | undefined;
  readonly profiler: Profiler | undefined;
}

/** The thread that this runs in. Measures it until it is closed. */
export class OwnThread implements ObservedThread {
  readonly name: string;
  readonly state = "running";
  readonly startedAt: number;
  readonly replacements = 0;
  readonly lastReason = undefined;
  /** What it runs when it can be asked is the asking. */
  readonly runningScript = undefined;
  readonly profiler: Profiler;
  readonly #health: ThreadHealth;

  constructor(name: string, metrics: GatewayMetrics, clock: Clock, excuse?: Excuse) {
    this.name = name;
    this.profiler = new Profiler(profileOwnThread(excuse));
    this.startedAt = clock.now();
    this.#health = new ThreadHealth(metrics, clock);
  }

  close(): void {
    this.#health.close();
  }
}
