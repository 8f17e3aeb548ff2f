/** An upstream as one thread sees it, whichever generation asks: kept across generations. */
import type { ErrorCode } from "../errors.ts";
import type { Log } from "../exchange.ts";
import type { Clock } from "../plugin.ts";
import type { FedTarget } from "./feed.ts";
import { serialOf } from "./target-record.ts";
import { type TargetOwner, TargetState } from "./target-state.ts";
import type { UpstreamRecord } from "./upstream-record.ts";

/** What watches the requests to targets. */
export interface RequestWatch {
  /**
   * A request to a target has ended.
   * @param status of its reply; 0 when there was none
   * @param failure what went wrong with the target; undefined also when the client or a stage gave up
   */
  observe(state: TargetState, status: number, failure: ErrorCode | undefined): void;
}

export class UpstreamView implements TargetOwner {
  readonly upstream: string;
  readonly shared: UpstreamRecord;
  readonly log: Log;
  readonly clock: Clock;
  /** The upstream of the generation that serves. */
  current: object | undefined;
  /** Watches requests of all generations by the options of the one that serves. */
  outliers: RequestWatch | undefined;
  readonly #byUrl = new Map<string, TargetState>();

  constructor(upstream: string, shared: UpstreamRecord, log: Log, clock: Clock) {
    this.upstream = upstream;
    this.shared = shared;
    this.log = log;
    this.clock = clock;
  }

  /** The state of a target; {@link release} gives it back. */
  acquire({ url, record }: FedTarget): TargetState {
    let state = this.#byUrl.get(url);
    if (state === undefined || state.serial !== serialOf(record)) {
      state = new TargetState(url, record, this);
      this.#byUrl.set(url, state);
    }
    state.users++;
    return state;
  }

  release(state: TargetState): void {
    if (--state.users === 0 && this.#byUrl.get(state.url) === state) this.#byUrl.delete(state.url);
  }
}
