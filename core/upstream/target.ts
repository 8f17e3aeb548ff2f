/** A target of one generation: where it is, how to connect, and what is told of its requests. */
import type { ErrorCode } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { DurationStats } from "../observe/metrics.ts";
import type { Target } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import { type Destination, forward } from "./forward.ts";
import type { OutlierDetector } from "./health/passive.ts";
import type { Pool } from "./pool.ts";
import type { TargetState } from "./target-state.ts";

/** What all targets of an upstream have in common. */
export interface TargetGroup {
  readonly name: string;
  readonly stats: DurationStats;
  readonly outliers: OutlierDetector | undefined;
}

export class HttpTarget implements Target, Destination {
  readonly upstream: string;
  readonly id: string;
  readonly url: string;
  readonly pool: Pool;
  readonly basePath: string;
  readonly host: string;
  readonly state: TargetState;
  /** Weight as configured or discovered. */
  baseWeight: number;
  weight: number;
  readonly #group: TargetGroup;

  constructor(address: TargetAddress, pool: Pool, state: TargetState, weight: number, group: TargetGroup) {
    this.upstream = group.name;
    this.id = state.id;
    this.url = state.url;
    this.basePath = address.basePath;
    this.host = address.host;
    this.pool = pool;
    this.state = state;
    this.baseWeight = weight;
    this.weight = weight;
    this.#group = group;
  }

  get inFlight(): number {
    return this.state.inFlight;
  }

  get latencyMs(): number {
    return this.state.latencyMs(performance.now());
  }

  forward(x: Exchange): Promise<Reply> {
    x.upstream = this.upstream;
    x.target = this;
    return forward(x, this);
  }

  onStart(): void {
    this.state.inFlight++;
  }

  onAnswered(ms: number, now: number): void {
    this.#group.stats.observe(ms);
    this.state.observeLatency(ms, now);
  }

  onEnd(status: number, failure: ErrorCode | undefined): void {
    const { state } = this;
    state.inFlight--;
    if (failure !== undefined) state.observeFailure(performance.now());
    this.#group.outliers?.observe(state, status, failure);
  }
}

/** Where a target is: an origin, or a socket of this machine, and the path before every request's. */
export interface TargetAddress {
  readonly origin: string;
  readonly socketPath: string | undefined;
  /** Host header. */
  readonly host: string;
  /** Without a slash at its end; empty for none. */
  readonly basePath: string;
}

/** Takes the URL of a target apart; the checks of the configuration have made sure that it is one. */
export function parseTarget(url: string): TargetAddress {
  if (url.startsWith("unix:")) {
    const [socketPath, path = ""] = url.slice("unix:".length).split(":");
    return {
      origin: "http://localhost",
      socketPath,
      host: "localhost",
      basePath: path.replace(/\/$/, ""),
    };
  }
  const { origin, host, pathname } = new URL(url);
  return { origin, socketPath: undefined, host, basePath: pathname.replace(/\/$/, "") };
}

/** The same URL for the same target, however it is written. */
export function normalizeTarget(url: string): string {
  return (url.startsWith("unix:") ? url : new URL(url).href).replace(/\/$/, "");
}
