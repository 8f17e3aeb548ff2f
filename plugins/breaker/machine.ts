/**
 * The only door to opossum: its state machine with its timer, without its `fire`. Why so: decision 009.
 */
import { EventEmitter } from "node:events";
import CircuitBreaker from "opossum";

/** Where a circuit stands. */
export type CircuitState = "closed" | "half-open" | "open";

/** Told of each change, after it was made. */
export interface MachineListener {
  onOpen(): void;
  onHalfOpen(): void;
  onClose(): void;
}

const unused = (): Promise<void> => Promise.reject(new Error("a circuit is never fired"));

export class Machine {
  readonly #breaker: CircuitBreaker;
  readonly #options: CircuitBreaker.Options;

  constructor(listener: MachineListener) {
    // opossum counts into buckets that a timer turns; we count ourselves, so there is one bucket, and its timer is
    // replaced by an emitter that never emits.
    this.#options = {
      timeout: false,
      rollingCountBuckets: 1,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      rotateBucketController: new EventEmitter(),
      name: "circuit",
    };
    this.#breaker = new CircuitBreaker(unused, this.#options);
    this.#breaker.on("open", () => listener.onOpen());
    this.#breaker.on("halfOpen", () => listener.onHalfOpen());
    this.#breaker.on("close", () => listener.onClose());
  }

  get state(): CircuitState {
    if (this.#breaker.opened) return "open";
    return this.#breaker.halfOpen ? "half-open" : "closed";
  }

  /** Opens; half-open after `ms`. */
  open(ms: number): void {
    this.#options.resetTimeout = ms; // opossum keeps this very object, and reads it when it opens
    this.#breaker.open();
  }

  close(): void {
    this.#breaker.close();
  }

  /** Ends it: no timer runs any more and nobody is told of anything. */
  shutdown(): void {
    this.#breaker.shutdown();
  }
}
