/**
 * All targets of an upstream, whichever generation asks, and who looks after them: kept across generations under the
 * upstream's name, so that what is known outlives reloads.
 */
import type { ErrorCode } from "../errors.ts";
import type { Log } from "../exchange.ts";
import type { Clock, Metrics } from "../plugin.ts";
import type { ConnectorTls } from "./connector.ts";
import { type Override, type TargetOwner, TargetState } from "./target-state.ts";

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
   * @param failure what went wrong with the target; undefined also when the client or a stage gave up
   */
  observe(state: TargetState, status: number, failure: ErrorCode | undefined): void;
}

/** An upstream, as far as what outlives its generation asks it. */
export interface ServingUpstream {
  readonly panic: boolean;
  /** How to speak TLS to targets. */
  tls(): ConnectorTls;
}

export class TargetStates implements TargetOwner {
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
  /** The upstream of the generation that serves: what it says decides over the monitor. */
  current: ServingUpstream | undefined;
  readonly overrides = new Map<string, Override>();
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
