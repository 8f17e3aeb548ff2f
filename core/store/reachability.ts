/** Whether a store on the network can be reached: by its connection, and by how calls end. Each change is logged once. */
import type { Clock } from "../plugin.ts";
import type { Log } from "../exchange.ts";

/** So many calls that fail one after the other are no accident. */
const FAILURES = 5;
/** Time without a failure after which it is well again. */
const CALM_MS = 1000;

export class Reachability {
  readonly #store: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #settled = Promise.withResolvers<void>();
  #isUp: boolean | undefined;
  #failures = 0;
  #failedAt = 0;

  constructor(store: string, clock: Clock, log: Log) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  get isUp(): boolean {
    return this.#isUp === true;
  }

  /** Resolves when it is known for the first time whether it can be reached. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** The connection is there. */
  connected(): void {
    this.#failures = 0;
    this.#set(true);
  }

  /** There is no connection. */
  lost(reason: string): void {
    this.#failedAt = this.#clock.monotonic();
    this.#set(false, reason);
  }

  /** A call was answered. */
  answered(): void {
    this.#failures = 0;
    if (this.#isUp !== true && this.#clock.monotonic() - this.#failedAt >= CALM_MS) this.#set(true);
  }

  /** A call was not. */
  failed(reason: string): void {
    this.#failedAt = this.#clock.monotonic();
    if (++this.#failures >= FAILURES) this.#set(false, reason);
  }

  #set(isUp: boolean, reason?: string): void {
    if (this.#isUp === isUp) return;
    const wasDown = this.#isUp === false;
    this.#isUp = isUp;
    this.#settled.resolve();
    const store = this.#store;
    if (!isUp) this.#log.error({ store, reason }, "a store cannot be reached: calls fail until it can");
    else if (wasDown) this.#log.info({ store }, "a store can be reached again");
  }
}
