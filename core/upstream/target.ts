/** A target of one generation: where it is, how to connect, and what is told of its requests. */
import { monotonicMs } from "../clock.ts";
import type { ErrorCode } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { DurationStats } from "../observe/request-stats.ts";
import type { Target } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import { type Destination, forward } from "./forward.ts";
import type { Connections } from "./pool.ts";
import type { TargetState } from "./target-state.ts";
import type { TargetAddress } from "./target-url.ts";
import type { RequestWatch } from "./view.ts";

/** What all targets of an upstream have in common. */
export interface TargetGroup {
  readonly name: string;
  readonly stats: DurationStats;
  readonly outliers: RequestWatch | undefined;
}

export class HttpTarget implements Target, Destination {
  readonly upstream: string;
  readonly id: string;
  readonly url: string;
  readonly pool: Connections;
  readonly basePath: string;
  readonly host: string;
  readonly state: TargetState;
  /** Weight as configured or discovered. */
  baseWeight: number;
  weight: number;
  readonly #group: TargetGroup;

  constructor(
    address: TargetAddress,
    pool: Connections,
    state: TargetState,
    weight: number,
    group: TargetGroup,
  ) {
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
    return this.state.latencyMs(monotonicMs());
  }

  forward(x: Exchange): Promise<Reply> {
    x.upstream = this.upstream;
    x.target = this;
    x.attempts++;
    return forward(x, this);
  }

  onStart(): void {
    this.state.startRequest();
  }

  onAnswered(ms: number, now: number): void {
    this.#group.stats.observe(ms);
    this.state.observeLatency(ms, now);
  }

  onEnd(status: number, failure: ErrorCode | undefined): void {
    const { state } = this;
    state.endRequest();
    if (failure !== undefined) state.observeFailure(monotonicMs());
    this.#group.outliers?.observe(state, status, failure);
  }
}
