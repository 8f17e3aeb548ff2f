/**
 * Passive health: ejects targets that fail the requests themselves. What is known of a target is a record on its
 * state, so that it outlives reloads; which targets there are, and by which options they are judged, is said by
 * the generation that serves.
 */
import type { ErrorCode } from "../../errors.ts";
import type { Clock } from "../../plugin.ts";
import type { TargetState } from "../target-state.ts";
import type { RequestWatch } from "../target-states.ts";
import { OutlierRecord } from "./outlier-record.ts";
import type { StatusTable } from "../../statuses.ts";

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

/** Why a target is ejected: for the log and the metric. */
type Reason = "failures" | "error-rate";

export class OutlierDetector implements RequestWatch {
  readonly #options: PassiveHealth;
  readonly #clock: Clock;
  readonly #statuses: StatusTable;
  /** Window of the records' counts; undefined when no rate is asked for. */
  readonly #windowMs: number | undefined;
  #targets: readonly TargetState[] = [];

  constructor(options: PassiveHealth, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
    this.#statuses = options.statuses;
    this.#windowMs = options.errorRate === undefined ? undefined : options.withinMs;
  }

  /** Judges these from now on. Ejections that are too many for so few targets end, the oldest first. */
  adopt(states: readonly TargetState[]): void {
    const targets = [...new Set(states)];
    this.#targets = targets;
    const { failures } = this.#options;
    for (const state of targets) {
      if (state.outlier?.fits(failures, this.#windowMs)) continue;
      state.outlier = new OutlierRecord(failures, this.#windowMs, state.outlier);
    }
    const now = this.#clock.monotonic();
    const ejected = targets.filter(({ ejectedUntil }) => ejectedUntil > now);
    const most = Math.min(this.#mostEjected(), targets.length - 1);
    if (ejected.length <= most) return;
    ejected.sort((a, b) => a.ejectedUntil - b.ejectedUntil);
    for (const state of ejected.slice(0, ejected.length - most)) state.readmit();
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
    record.streak = 0;
    const { counts } = record;
    if (counts === undefined) return;
    const now = this.#clock.monotonic();
    if (state.ejectedUntil <= now) counts.count(now, 0);
  }

  #observeFailure(state: TargetState, record: OutlierRecord): void {
    const now = this.#clock.monotonic();
    // What was under way when it was ejected, or came in panic mode, says nothing about how it comes back.
    if (state.ejectedUntil > now) return;
    const ms = record.fail(now);
    record.counts?.count(now, 1);
    if (ms !== undefined && ms <= this.#options.withinMs) this.#eject(state, record, now, "failures");
    else if (this.#isOutlier(state, record, now)) this.#eject(state, record, now, "error-rate");
  }

  /** True when a target's share of failures is too high, and higher than that of the others together. */
  #isOutlier(state: TargetState, { counts }: OutlierRecord, now: number): boolean {
    const { errorRate, minRequests } = this.#options;
    if (errorRate === undefined || counts === undefined || counts.requests < minRequests) return false;
    const rate = counts.failures / counts.requests;
    if (rate < errorRate) return false;
    let requests = 0;
    let failures = 0;
    for (const { outlier } of this.#targets) {
      const others = outlier?.counts;
      if (others === undefined || others === state.outlier?.counts) continue;
      others.advance(now);
      requests += others.requests;
      failures += others.failures;
    }
    return requests === 0 || rate > failures / requests;
  }

  /** Ejects a target, unless too many are already, or it is the last that can be used. */
  #eject(state: TargetState, record: OutlierRecord, now: number, reason: Reason): void {
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
    if (usable === 0 || ejected >= this.#mostEjected()) {
      if (record.refuse(now, ejectForMs)) state.refuseEjection(reason);
      return;
    }
    record.clear();
    state.eject(now + record.eject(now, ejectForMs, maxEjectForMs), reason);
  }

  #mostEjected(): number {
    // Shares such as 29 % are a little less than they say in binary.
    return Math.floor(this.#options.maxEjected * this.#targets.length + 1e-9);
  }
}
