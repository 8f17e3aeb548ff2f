/**
 * Which targets of an upstream new requests may go to, and what share each gets. Found out anew only when something
 * has changed or time has made it old: a request compares two numbers.
 */
import type { Clock } from "../plugin.ts";
import type { HttpTarget } from "./target.ts";
import type { TargetStates } from "./target-states.ts";

/** Steps in which a target that warms up gets its share. */
const WARM_STEPS = 20;

export interface EligibilityOptions {
  /** How long a target takes to get its full share; 0 for no time. */
  readonly slowStartMs: number;
  /** When a smaller share of the targets than this is healthy, all are used. */
  readonly panicShare: number;
}

/** Told whenever it was found out anew whether so few targets are healthy that all are used. */
export interface PanicWatch {
  /**
   * @param healthy how many of the targets are
   * @param targets how many may be used, as far as configuration and operators go
   */
  onPanic(panic: boolean, healthy: number, targets: number): void;
}

export class Eligibility {
  readonly #options: EligibilityOptions;
  readonly #states: TargetStates;
  readonly #clock: Clock;
  readonly #watch: PanicWatch;
  #targets: readonly HttpTarget[] = [];
  #eligible: readonly HttpTarget[] = [];
  #version = 0;
  #panic = false;
  /** Version of the states that all this was made from, and when time alone makes it old. */
  #seen = -1;
  #changesAt = Number.POSITIVE_INFINITY;

  constructor(options: EligibilityOptions, states: TargetStates, clock: Clock, watch: PanicWatch) {
    this.#options = options;
    this.#states = states;
    this.#clock = clock;
    this.#watch = watch;
  }

  /** A new array whenever it changes. */
  get eligible(): readonly HttpTarget[] {
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

  /** True when requests that belong to a target may go to it: it may be drained, and its weight be zero. */
  accepts({ state }: HttpTarget): boolean {
    this.#look();
    if (state.adminState === "disabled") return false;
    return this.#panic || state.isHealthy(this.#clock.monotonic());
  }

  /** These are the targets from now on. */
  setTargets(targets: readonly HttpTarget[]): void {
    this.#targets = targets;
    this.#states.changed();
  }

  /** Has everything found out anew, so that the watch is told. */
  forget(): void {
    this.#seen = -1;
  }

  /** Finds out again which targets are eligible, if something changed or time passed. */
  #look(): void {
    const states = this.#states;
    if (
      states.version === this.#seen &&
      (this.#changesAt === Number.POSITIVE_INFINITY || this.#clock.monotonic() < this.#changesAt)
    ) {
      return;
    }
    const now = this.#clock.monotonic();
    this.#changesAt = Number.POSITIVE_INFINITY;
    let healthy = 0;
    let allowed = 0;
    for (const target of this.#targets) {
      const isHealthy = this.#update(target, now);
      if (!isOffered(target)) continue;
      allowed++;
      if (isHealthy) healthy++;
    }
    const panic = allowed > 0 && healthy / allowed < this.#options.panicShare;
    this.#panic = panic;
    this.#watch.onPanic(panic, healthy, allowed);
    this.#eligible = this.#targets.filter(
      (target) => isOffered(target) && (panic || target.state.isHealthy(now)),
    );
    this.#seen = states.version;
    this.#version++;
  }

  /** Brings a target's weight and ejection up to date. True when it is healthy. */
  #update(target: HttpTarget, now: number): boolean {
    const { state } = target;
    if (state.ejectedUntil !== 0 && state.ejectedUntil <= now) state.readmit();
    const isHealthy = state.isHealthy(now);
    const isUsable = isHealthy && state.adminState === "active";
    if (isUsable && !state.wasUsable) state.warmFrom = now;
    if (!isUsable) state.warmFrom = undefined;
    state.wasUsable = isUsable;
    if (state.ejectedUntil > now) this.#changesAt = Math.min(this.#changesAt, state.ejectedUntil);
    target.weight = (state.weight ?? target.baseWeight) * this.#warmth(state.warmFrom, now);
    return isHealthy;
  }

  /** The share of its weight that a target gets while it warms up, in steps. */
  #warmth(warmFrom: number | undefined, now: number): number {
    const { slowStartMs } = this.#options;
    if (warmFrom === undefined || slowStartMs === 0) return 1;
    const step = Math.floor(((now - warmFrom) / slowStartMs) * WARM_STEPS);
    if (step >= WARM_STEPS) return 1;
    const nextAt = warmFrom + ((step + 1) * slowStartMs) / WARM_STEPS;
    this.#changesAt = Math.min(this.#changesAt, nextAt);
    return (step + 1) / (WARM_STEPS + 1);
  }
}

/** True when neither the configuration nor an operator takes a target out. */
function isOffered({ state, weight }: HttpTarget): boolean {
  return state.adminState === "active" && weight > 0;
}
