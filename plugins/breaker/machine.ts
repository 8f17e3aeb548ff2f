/**
 * The only door to opossum: its state machine with its timer, without its `fire`. Why so: decision 009.
 */
import { EventEmitter } from "node:events";
import CircuitBreaker from "opossum";

const unused = (): Promise<void> => Promise.reject(new Error("a circuit is never fired"));

export class Machine {
  readonly #breaker: CircuitBreaker;
  readonly #options: CircuitBreaker.Options;

  /** @param onHalfOpen told when it has been open for its time */
  constructor(listener: { onHalfOpen(): void }) {
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
    this.#breaker.on("halfOpen", () => listener.onHalfOpen());
  }

  /** Opens, or stays open; half-open after `ms`. */
  open(ms: number): void {
    this.#breaker.close();
    this.#options.resetTimeout = Math.ceil(ms); // opossum keeps this very object, and reads it when it opens
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
