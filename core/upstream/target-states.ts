/**
 * All targets of an upstream, whichever generation asks, and who looks after them: kept on the control thread across
 * generations under the upstream's name, so that what is known outlives reloads.
 */
import type { Log } from "../exchange.ts";
import type { Clock, Labels, Metrics } from "../plugin.ts";
import type { ConnectorTls } from "./connector.ts";
import { type KeptOwner, KeptTarget, type Override } from "./kept-target.ts";
import { createUpstreamRecord, UpstreamRecord } from "./upstream-record.ts";

/** What looks after the health of an upstream's targets: one at a time, that of the generation that serves. */
export interface Monitor {
  /** The options that define it: an equal one goes on. */
  readonly key: string;
  /** Looks after these from now on. */
  update(targets: readonly KeptTarget[]): void;
  close(): void;
}

/** An upstream of the generation that serves, as far as what outlives it asks it. */
export interface ServingUpstream {
  readonly panic: boolean;
  /** How to speak TLS to targets. */
  tls(): ConnectorTls;
}

export interface StatesContext {
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** How many data threads there are. */
  readonly threads: number;
}

export class TargetStates implements KeptOwner {
  readonly upstream: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly threads: number;
  readonly shared: UpstreamRecord;
  /** Whether the log was told last that so few are healthy that all are used. */
  panic = false;
  monitor: Monitor | undefined;
  current: ServingUpstream | undefined;
  readonly overrides = new Map<string, Override>();
  readonly #byUrl = new Map<string, KeptTarget>();
  readonly #uncollect: (() => void)[];
  #started = false;
  #records = 0;

  /** @param serial tells it from an earlier one of the same name */
  constructor(upstream: string, serial: number, { log, clock, metrics, threads }: StatesContext) {
    this.upstream = upstream;
    this.log = log;
    this.clock = clock;
    this.threads = threads;
    this.shared = new UpstreamRecord(createUpstreamRecord(serial, threads), 0);
    this.#uncollect = this.#collect(metrics);
  }

  /** Those of a later set are new, and start slowly if they are to. */
  started(): void {
    this.#started = true;
  }

  /** The target of a URL; {@link release} gives it back. */
  acquire(url: string): KeptTarget {
    let state = this.#byUrl.get(url);
    if (state === undefined) {
      state = new KeptTarget(url, this.#records++, this);
      this.#byUrl.set(url, state);
    }
    if (state.users++ === 0) state.isNew = this.#started;
    return state;
  }

  /** A target that nobody has is known until its last request has ended. */
  release(state: KeptTarget): void {
    state.users--;
    this.#forgetUnused(state);
  }

  /** Forgets targets that nobody has any more. */
  prune(): void {
    for (const state of this.#byUrl.values()) this.#forgetUnused(state);
  }

  /** Takes back what a thread held that is no more. */
  forgetThread(thread: number): void {
    for (const state of this.#byUrl.values()) state.forgetThread(thread);
    this.shared.forgetThread(thread);
  }

  close(): void {
    this.monitor?.close();
    for (const uncollect of this.#uncollect) uncollect();
  }

  #forgetUnused({ url, users, inFlight }: KeptTarget): void {
    if (users === 0 && inFlight <= 0) this.#byUrl.delete(url);
  }

  #collect(metrics: Metrics): (() => void)[] {
    type Samples = (readonly [Labels, number])[];
    const { upstream } = this;
    const each = (of: (state: KeptTarget, labels: Labels) => Samples) => (): Samples => {
      this.prune();
      return [...this.#byUrl.values()].flatMap((state) => of(state, { upstream, target: state.id }));
    };
    const ejections = (kind: "ejections" | "refusals") =>
      each((state, labels) =>
        state.ejectionCounts(kind).map(([reason, count]) => [{ ...labels, reason }, count] as const),
      );
    return [
      metrics.collect(
        "sluice_upstream_target_up",
        "1 while a target is well and may be used.",
        "gauge",
        each((state, labels) => {
          const isUp = state.isHealthy(this.clock.monotonic()) && state.adminState !== "disabled";
          return [[labels, isUp ? 1 : 0]];
        }),
      ),
      metrics.collect(
        "sluice_upstream_target_in_flight",
        "Requests under way to a target.",
        "gauge",
        each((state, labels) => [[labels, state.inFlight]]),
      ),
      metrics.collect(
        "sluice_upstream_ejections_total",
        "Ejections of targets.",
        "counter",
        ejections("ejections"),
      ),
      metrics.collect(
        "sluice_upstream_ejections_refused_total",
        "Ejections of targets that were due and not made.",
        "counter",
        ejections("refusals"),
      ),
      metrics.collect(
        "sluice_upstream_health_checks_total",
        "Active health checks.",
        "counter",
        each((state, labels) =>
          Object.entries(state.checks).map(([result, count]) => [{ ...labels, result }, count]),
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
