/**
 * What is known of the targets of an upstream, whichever generation asks: health, ejections, requests under way,
 * what operators set. Identity is the URL, so that it outlives reloads.
 */
import type { ErrorCode } from "../errors.ts";
import type { Log } from "../exchange.ts";
import type { Clock, Metrics } from "../plugin.ts";
import type { OutlierRecord } from "./health/outlier-record.ts";
import { targetId } from "./target-url.ts";

/** Whether an operator lets requests go to a target: all, those that belong to it already, or none. */
export type AdminState = "active" | "draining" | "disabled";

/** How fast the average latency forgets, in milliseconds. */
const LATENCY_DECAY_MS = 10_000;
/** A failed request counts as one that took at least this long. */
const FAILURE_LATENCY_MS = 1000;

/** One target. Changed only through its methods, so that whoever prepared something from it learns of it. */
export class TargetState {
  readonly id: string;
  readonly url: string;
  #inFlight = 0;
  /** Generations and discoveries that have it. */
  users = 0;
  /** Monotonic milliseconds since when it is used again, for slow start; undefined when it always was. */
  warmFrom: number | undefined;
  /** What passive health remembers of it; undefined until it is asked to. */
  outlier: OutlierRecord | undefined;
  /** Whether it was usable when that was last looked at. */
  wasUsable: boolean;
  readonly #owner: TargetStates;
  #healthy: boolean | undefined;
  /** What the last failed check found. */
  #failure: string | undefined;
  #ejectedUntil = 0;
  #ejectedFor: string | undefined;
  #adminState: AdminState = "active";
  #weight: number | undefined;
  #latencyMs = 0;
  #latencyAt = 0;
  /** Ejections so far, by reason. */
  readonly ejections = new Map<string, number>();
  /** Ejections that were due and not made, because too many were or it was the last, by reason. */
  readonly refusedEjections = new Map<string, number>();
  /** Active checks so far, by result. */
  readonly checks = { success: 0, failure: 0 };

  constructor(url: string, owner: TargetStates, isNew: boolean) {
    this.url = url;
    this.id = targetId(url);
    this.#owner = owner;
    this.wasUsable = !isNew;
    const { adminState = "active", weight } = owner.overrides.get(url) ?? {};
    this.#adminState = adminState;
    this.#weight = weight;
  }

  /** Requests under way to it. */
  get inFlight(): number {
    return this.#inFlight;
  }

  startRequest(): void {
    this.#inFlight++;
    if (this.users > 0) this.#owner.inFlight++;
  }

  endRequest(): void {
    this.#inFlight--;
    if (this.users > 0) this.#owner.inFlight--;
  }

  /** Verdict of the active checks; undefined while there is none. */
  get healthy(): boolean | undefined {
    return this.#healthy;
  }

  /** Monotonic milliseconds until when it is ejected; 0 when it is not. */
  get ejectedUntil(): number {
    return this.#ejectedUntil;
  }

  get adminState(): AdminState {
    return this.#adminState;
  }

  /** Weight that an operator set; undefined for the configured one. */
  get weight(): number | undefined {
    return this.#weight;
  }

  /** True when it is well, as far as is known. */
  isHealthy(now: number): boolean {
    return this.#healthy !== false && this.#ejectedUntil <= now;
  }

  /** Why it is not healthy: what the last check found, or the reason of its ejection. Undefined when it is. */
  unhealthyReason(now: number): string | undefined {
    if (this.#healthy === false) return this.#failure ?? "the check failed";
    return this.#ejectedUntil > now ? this.#ejectedFor : undefined;
  }

  /**
   * The verdict of the active checks.
   * @param reason for the log and for operators, when it is not well
   */
  setHealthy(healthy: boolean | undefined, reason?: string): void {
    this.#failure = reason;
    if (healthy === this.#healthy) return;
    const was = this.#healthy !== false;
    this.#healthy = healthy;
    this.#owner.changed();
    const fields = { upstream: this.#owner.upstream, target: this.url };
    if (healthy === false) this.#owner.log.warn({ ...fields, reason }, "target is unhealthy");
    else if (!was) this.#owner.log.info(fields, "target is healthy again");
  }

  /**
   * Keeps requests away from it for a while.
   * @param until monotonic milliseconds
   * @param reason for the log and the metric: a fixed set of words
   */
  eject(until: number, reason: string): void {
    this.#ejectedUntil = until;
    this.#ejectedFor = reason;
    this.ejections.set(reason, (this.ejections.get(reason) ?? 0) + 1);
    this.#owner.changed();
    const forMs = Math.round(until - this.#owner.clock.monotonic());
    const fields = { upstream: this.#owner.upstream, target: this.url, reason, forMs };
    this.#owner.log.warn(fields, "target is ejected");
  }

  /**
   * It should be ejected, and is not.
   * @param reason as of {@link eject}
   */
  refuseEjection(reason: string): void {
    this.refusedEjections.set(reason, (this.refusedEjections.get(reason) ?? 0) + 1);
    this.#owner.log.warn(
      { upstream: this.#owner.upstream, target: this.url, reason },
      "target fails but is not ejected: too many are, or no other can be used",
    );
  }

  /** Ends its ejection. */
  readmit(): void {
    if (this.#ejectedUntil === 0) return;
    this.#ejectedUntil = 0;
    this.#owner.changed();
    this.#owner.log.info({ upstream: this.#owner.upstream, target: this.url }, "ejection of target is over");
  }

  /** What an operator sets; what is undefined stays, a weight of null is the configured one. */
  override(adminState: AdminState | undefined, weight: number | null | undefined): void {
    if (adminState !== undefined) this.#adminState = adminState;
    if (weight !== undefined) this.#weight = weight ?? undefined;
    const { overrides } = this.#owner;
    if (this.#adminState === "active" && this.#weight === undefined) overrides.delete(this.url);
    else overrides.set(this.url, { adminState: this.#adminState, weight: this.#weight });
    this.#owner.changed();
    const fields = { state: this.#adminState, weight: this.#weight };
    this.#owner.log.info({ upstream: this.#owner.upstream, target: this.url, ...fields }, "target was set");
  }

  /**
   * Average latency as Finagle's peak EWMA: a longer one counts at once, shorter ones little by little, and without
   * any it fades, so that a target that was slow is tried again.
   */
  latencyMs(now: number): number {
    return this.#latencyMs * Math.exp((this.#latencyAt - now) / LATENCY_DECAY_MS);
  }

  /** A request took so long until its reply's head. */
  observeLatency(ms: number, now: number): void {
    if (ms >= this.#latencyMs) this.#latencyMs = ms;
    else {
      const kept = Math.exp((this.#latencyAt - now) / LATENCY_DECAY_MS);
      this.#latencyMs = this.#latencyMs * kept + ms * (1 - kept);
    }
    this.#latencyAt = now;
  }

  /** A request failed: a target that fails fast must not look fast. */
  observeFailure(now: number): void {
    this.observeLatency(Math.max(FAILURE_LATENCY_MS, this.#latencyMs), now);
  }
}

/** What looks after the health of an upstream's targets: one at a time, that of the generation that serves. */
export interface Monitor {
  /** The options that define it: an equal one goes on. */
  readonly key: string;
  /** Looks after these from now on. */
  update(targets: readonly TargetState[]): void;
  close(): void;
}

/** What watches the requests to targets: that of the generation that serves. */
export interface RequestWatch {
  /**
   * A request to a target has ended.
   * @param status of its reply; 0 when there was none
   * @param failure what went wrong with the target; undefined also when the client gave up
   */
  observe(state: TargetState, status: number, failure: ErrorCode | undefined): void;
}

/** All targets of one upstream. Kept across generations under the upstream's name. */
export class TargetStates {
  readonly upstream: string;
  readonly log: Log;
  readonly clock: Clock;
  /** Grows whenever something changed that decides which targets are used, and how much. */
  version = 0;
  /** Requests under way to all targets together. */
  inFlight = 0;
  /** Whether the log was told last that so few are healthy that all are used. */
  panic = false;
  monitor: Monitor | undefined;
  outliers: RequestWatch | undefined;
  /** The generation's upstream that serves: what it says decides over the monitor. */
  current: { readonly panic: boolean } | undefined;
  /** What operators set, by URL: a target that goes for a while comes back as they left it. */
  readonly overrides = new Map<string, { adminState: AdminState; weight: number | undefined }>();
  readonly #byUrl = new Map<string, TargetState>();
  readonly #uncollect: (() => void)[];
  #started = false;

  constructor(upstream: string, log: Log, clock: Clock, metrics: Metrics) {
    this.upstream = upstream;
    this.log = log;
    this.clock = clock;
    this.#uncollect = this.#collect(metrics);
  }

  /** Something changed. */
  changed(): void {
    this.version++;
  }

  /** Those of a later set are new, and start slowly if they are to. */
  started(): void {
    this.#started = true;
  }

  /** The state of a URL; {@link release} gives it back. */
  acquire(url: string): TargetState {
    let state = this.#byUrl.get(url);
    if (state === undefined) {
      state = new TargetState(url, this, this.#started);
      this.#byUrl.set(url, state);
    }
    state.users++;
    return state;
  }

  release(state: TargetState): void {
    if (--state.users > 0) return;
    this.#byUrl.delete(state.url);
    this.inFlight -= state.inFlight; // they end without being counted any more
  }

  close(): void {
    this.monitor?.close();
    for (const uncollect of this.#uncollect) uncollect();
  }

  #collect(metrics: Metrics): (() => void)[] {
    const { upstream } = this;
    const each = <T>(of: (state: TargetState, labels: { upstream: string; target: string }) => T[]) =>
      [...this.#byUrl.values()].flatMap((state) => of(state, { upstream, target: state.id }));
    return [
      metrics.collect(
        "sluice_upstream_target_up",
        "1 while a target is well and may be used.",
        "gauge",
        () => {
          const now = this.clock.monotonic();
          return each((state, labels) => {
            const isUp = state.isHealthy(now) && state.adminState !== "disabled";
            return [[labels, isUp ? 1 : 0] as const];
          });
        },
      ),
      metrics.collect("sluice_upstream_target_in_flight", "Requests under way to a target.", "gauge", () =>
        each((state, labels) => [[labels, state.inFlight] as const]),
      ),
      metrics.collect("sluice_upstream_ejections_total", "Ejections of targets.", "counter", () =>
        each((state, labels) =>
          [...state.ejections].map(([reason, count]) => [{ ...labels, reason }, count] as const),
        ),
      ),
      metrics.collect(
        "sluice_upstream_ejections_refused_total",
        "Ejections of targets that were due and not made.",
        "counter",
        () =>
          each((state, labels) =>
            [...state.refusedEjections].map(([reason, count]) => [{ ...labels, reason }, count] as const),
          ),
      ),
      metrics.collect("sluice_upstream_health_checks_total", "Active health checks.", "counter", () =>
        each((state, labels) =>
          Object.entries(state.checks).map(([result, count]) => [{ ...labels, result }, count] as const),
        ),
      ),
      metrics.collect(
        "sluice_upstream_panic",
        "1 while all targets are used because too few are healthy.",
        "gauge",
        () => [[{ upstream }, this.current?.panic === true ? 1 : 0]],
      ),
    ];
  }
}
