/**
 * What is known of one target, whichever generation asks: health, ejections, requests under way, what operators set.
 * Identity is the URL, so that it outlives reloads.
 */
import type { Log } from "../exchange.ts";
import type { Clock } from "../plugin.ts";
import type { OutlierRecord } from "./health/outlier-record.ts";
import { targetId } from "./target-url.ts";

/** Whether an operator lets requests go to a target: all, those that belong to it already, or none. */
export type AdminState = "active" | "draining" | "disabled";

/** How fast the average latency forgets, in milliseconds. */
const LATENCY_DECAY_MS = 10_000;
/** A failed request counts as one that took at least this long. */
const FAILURE_LATENCY_MS = 1000;

/** What an operator set of a target. */
export interface Override {
  readonly adminState: AdminState;
  /** Undefined for the configured one. */
  readonly weight: number | undefined;
}

/** What the targets of an upstream have in common. */
export interface TargetOwner {
  /** Name of the upstream. */
  readonly upstream: string;
  readonly log: Log;
  readonly clock: Clock;
  /** By URL: a target that goes for a while comes back as operators left it. */
  readonly overrides: Map<string, Override>;
  /** Requests under way to all targets together. */
  inFlight: number;
  /** Something has changed that decides which targets are used, and how much. */
  changed(): void;
}

/** Changed only through its methods, so that whoever prepared something from it learns of it. */
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
  readonly #owner: TargetOwner;
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

  /** @param isNew it was not there when the gateway started: it warms up */
  constructor(url: string, owner: TargetOwner, isNew: boolean) {
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
