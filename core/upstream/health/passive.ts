/**
 * Passive health: ejects targets that fail the requests themselves. Each thread watches its own requests; what is
 * known of a target is in memory that all of them see, so that it is exact over threads and outlives reloads. Which
 * targets there are, and by which options they are judged, is said by the generation that serves.
 */
import type { ErrorCode } from "../../errors.ts";
import type { Clock } from "../../plugin.ts";
import type { StatusTable } from "../../statuses.ts";
import type { EjectionReason } from "../target-record.ts";
import type { TargetState } from "../target-state.ts";
import type { UpstreamRecord } from "../upstream-record.ts";
import type { OutlierRecord } from "./outlier-record.ts";

/** Options of passive health, compiled. */
export interface PassiveHealth {
  /** Failures in a row; 0 for not by this. */
  readonly failures: number;
  readonly withinMs: number;
  /** A share; undefined for not by this. */
  readonly errorRate: number | undefined;
  readonly minRequests: number;
  /** Statuses that are failures. */
  readonly statuses: StatusTable;
  readonly ejectForMs: number;
  readonly maxEjectForMs: number;
  /** A share of the targets. */
  readonly maxEjected: number;
}

/** The window of what is counted of a target; undefined when no rate is asked for. */
export function countedMs({ errorRate, withinMs }: PassiveHealth): number | undefined {
  return errorRate === undefined ? undefined : withinMs;
}

/** How many of so many targets may be ejected at once. */
export function mostEjected({ maxEjected }: PassiveHealth, targets: number): number {
  // Shares such as 29 % are a little less than they say in binary.
  return Math.floor(maxEjected * targets + 1e-9);
}

export class OutlierDetector {
  readonly #options: PassiveHealth;
  readonly #clock: Clock;
  readonly #shared: UpstreamRecord;
  readonly #statuses: StatusTable;
  #targets: readonly TargetState[] = [];

  constructor(options: PassiveHealth, clock: Clock, shared: UpstreamRecord) {
    this.#options = options;
    this.#clock = clock;
    this.#shared = shared;
    this.#statuses = options.statuses;
  }

  /** Judges these from now on. */
  setTargets(targets: readonly TargetState[]): void {
    this.#targets = targets;
  }

  /**
   * A request to a target has ended.
   * @param status of its reply; 0 when there was none
   * @param failure what went wrong with the target; undefined also when the client or a stage gave up
   */
  observe(state: TargetState, status: number, failure: ErrorCode | undefined): void {
    const record = state.outlier;
    if (record === undefined) return;
    if (this.#statuses[status] === 1 || failure !== undefined) {
      return this.#observeFailure(state, record);
    }
    if (status === 0) return;
    record.succeed();
    if (record.withinMs === undefined) return;
    const now = this.#clock.monotonic();
    if (state.ejectedUntil <= now) record.count(now, 0);
  }

  #observeFailure(state: TargetState, record: OutlierRecord): void {
    const now = this.#clock.monotonic();
    let mark: number;
    do {
      mark = record.mark;
      // What was under way when it was ejected, or came in panic mode, says nothing about how it comes back.
      if (state.ejectedUntil > now) return;
    } while (!record.fail(mark, now));
    record.count(now, 1);
    const ms = record.sinceFirst(mark, now);
    if (ms !== undefined && ms <= this.#options.withinMs) this.#eject(state, record, now, "failures");
    else if (this.#isOutlier(state, record, now)) this.#eject(state, record, now, "error-rate");
  }

  /** True when a target's share of failures is too high, and higher than that of the others together. */
  #isOutlier(state: TargetState, record: OutlierRecord, now: number): boolean {
    const { errorRate, minRequests } = this.#options;
    if (errorRate === undefined) return false;
    const own = record.requests(now);
    if (own < minRequests) return false;
    const rate = record.failures(now) / own;
    if (rate < errorRate) return false;
    let requests = 0;
    let failures = 0;
    for (const target of this.#targets) {
      if (target === state || target.outlier === undefined) continue;
      requests += target.outlier.requests(now);
      failures += target.outlier.failures(now);
    }
    return requests === 0 || rate > failures / requests;
  }

  /** Ejects a target, unless another thread is at an ejection just now: then the next failure tries again. */
  #eject(state: TargetState, record: OutlierRecord, now: number, reason: EjectionReason): void {
    if (!this.#shared.tryLock()) return;
    try {
      if (state.ejectedUntil <= now) this.#ejectLocked(state, record, now, reason);
    } finally {
      this.#shared.unlock();
    }
  }

  /** Ejects a target, unless too many are already, or it is the last that can be used. */
  #ejectLocked(state: TargetState, record: OutlierRecord, now: number, reason: EjectionReason): void {
    let ejected = 0;
    let usable = 0;
    let isTarget = false;
    for (const target of this.#targets) {
      if (target === state) isTarget = true;
      else if (target.ejectedUntil > now) ejected++;
      else if (target.healthy !== false && target.adminState === "active") usable++;
    }
    if (!isTarget) return;
    const { ejectForMs, maxEjectForMs } = this.#options;
    if (usable === 0 || ejected >= mostEjected(this.#options, this.#targets.length)) {
      return state.refuseEjection(reason, ejectForMs);
    }
    state.eject(reason, ejectForMs, maxEjectForMs);
    // Only now: who counted a failure before has seen no ejection, who counts one later sees it.
    record.clear();
  }
}
