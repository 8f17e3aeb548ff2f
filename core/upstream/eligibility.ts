/**
 * Which targets of an upstream new requests may go to, and what share each gets: a function of what all threads know
 * of them, and of the time. Found out anew only when something has changed or time has made it old: a request compares
 * two numbers.
 */
import type { UpstreamConfig } from "../config/checked.ts";
import type { Clock } from "../plugin.ts";
import { parseDuration, parsePercent } from "../units.ts";
import type { TargetState } from "./target-state.ts";
import type { UpstreamRecord } from "./upstream-record.ts";

/** Steps in which a target that warms up gets its share. */
const WARM_STEPS = 20;

export interface EligibilityOptions {
  /** How long a target takes to get its full share; 0 for no time. */
  readonly slowStartMs: number;
  /** When a smaller share of the targets than this is healthy, all are used. */
  readonly panicShare: number;
}

/** The options of an upstream that this is about. */
export function eligibilityOptions({ slowStart, panicThreshold }: UpstreamConfig): EligibilityOptions {
  return { slowStartMs: parseDuration(slowStart), panicShare: parsePercent(panicThreshold) };
}

/** A target, as far as it is chosen by its state. */
export interface Candidate {
  readonly state: TargetState;
  /** Weight as configured or discovered. */
  readonly baseWeight: number;
  /** Its share now: written here. */
  weight: number;
}

export class Eligibility<T extends Candidate> {
  readonly #options: EligibilityOptions;
  readonly #shared: UpstreamRecord;
  readonly #clock: Clock;
  #targets: readonly T[] = [];
  #eligible: readonly T[] = [];
  #version = 0;
  #panic = false;
  #healthy = 0;
  #offered = 0;
  /** Shared version that all this was made from, and when time alone makes it old. */
  #seen: number | undefined;
  #changesAt = Number.POSITIVE_INFINITY;

  constructor(options: EligibilityOptions, shared: UpstreamRecord, clock: Clock) {
    this.#options = options;
    this.#shared = shared;
    this.#clock = clock;
  }

  /** A new array whenever it changes. */
  get eligible(): readonly T[] {
    this.#look();
    return this.#eligible;
  }

  /** Grows whenever the targets, the eligible ones or a weight changes. */
  get version(): number {
    this.#look();
    return this.#version;
  }

  /** True while so few targets are healthy that all are used. */
  get panic(): boolean {
    this.#look();
    return this.#panic;
  }

  /** How many of the targets that may be used, as far as configuration and operators go, are healthy. */
  get healthy(): number {
    this.#look();
    return this.#healthy;
  }

  /** How many targets may be used, as far as configuration and operators go. */
  get offered(): number {
    this.#look();
    return this.#offered;
  }

  /** True when requests that belong to a target may go to it: it may be drained, and its weight be zero. */
  accepts({ state }: T): boolean {
    this.#look();
    if (state.adminState === "disabled") return false;
    return this.#panic || state.isHealthy(this.#clock.monotonic());
  }

  /** These are the targets from now on. */
  setTargets(targets: readonly T[]): void {
    this.#targets = targets;
    this.#seen = undefined;
  }

  /** Finds out again which targets are eligible, if something changed or time passed. */
  #look(): void {
    if (
      this.#shared.isAt(this.#seen) &&
      (this.#changesAt === Number.POSITIVE_INFINITY || this.#clock.monotonic() < this.#changesAt)
    ) {
      return;
    }
    const { version } = this.#shared;
    const now = this.#clock.monotonic();
    this.#changesAt = Number.POSITIVE_INFINITY;
    this.#healthy = this.#offered = 0;
    for (const target of this.#targets) {
      const isHealthy = this.#update(target, now);
      if (!isOffered(target)) continue;
      this.#offered++;
      if (isHealthy) this.#healthy++;
    }
    this.#panic = this.#offered > 0 && this.#healthy / this.#offered < this.#options.panicShare;
    this.#eligible = this.#targets.filter(
      (target) => isOffered(target) && (this.#panic || target.state.isHealthy(now)),
    );
    this.#seen = version;
    this.#version++;
  }

  /** Brings a target's weight up to date. True when it is healthy. */
  #update(target: T, now: number): boolean {
    const { state } = target;
    const isHealthy = state.isHealthy(now);
    const isUsable = isHealthy && state.adminState === "active";
    if (state.ejectedUntil > now) this.#changesAt = Math.min(this.#changesAt, state.ejectedUntil);
    target.weight = (state.weight ?? target.baseWeight) * (isUsable ? this.#warmth(state.warmFrom, now) : 1);
    return isHealthy;
  }

  /** The share of its weight that a target gets while it warms up, in steps. */
  #warmth(warmFrom: number, now: number): number {
    const { slowStartMs } = this.#options;
    if (slowStartMs === 0) return 1;
    const step = Math.floor(((now - warmFrom) / slowStartMs) * WARM_STEPS);
    if (step >= WARM_STEPS) return 1;
    const nextAt = warmFrom + ((step + 1) * slowStartMs) / WARM_STEPS;
    this.#changesAt = Math.min(this.#changesAt, nextAt);
    return (step + 1) / (WARM_STEPS + 1);
  }
}

/** True when neither the configuration nor an operator takes a target out. */
function isOffered({ state, weight }: Candidate): boolean {
  return state.adminState === "active" && weight > 0;
}
