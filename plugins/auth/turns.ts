/**
 * Bounds how many secrets all threads look at together. Node has four threads for such work, unless told otherwise, and
 * looks up names and compresses in them too.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock, Host, SharedState } from "../../core/plugin.ts";
import { Held, RENEW_MS } from "../concurrency/held.ts";

export const MOST_AT_ONCE = 2;
/** How often those who wait look whether it is their turn. */
const LOOK_MS = 5;

export class Turns {
  readonly #held: Held;
  readonly #clock: Clock;
  /** What this thread works at, and what waits in it. */
  #mine = 0;
  #waiting = 0;

  constructor({ shared, clock }: { shared: SharedState; clock: Clock }) {
    this.#held = new Held(shared, "auth secrets", clock.monotonic());
    this.#clock = clock;
  }

  /** Those of all methods that are kept. */
  static of(host: Host): Turns {
    return host.keep("auth turns", () => new Turns(host));
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.#renew();
    // Who has just worked lets other threads go first.
    if (!this.#take(true)) await this.#wait();
    const renewing = setInterval(() => this.#renew(), RENEW_MS);
    try {
      return await work();
    } finally {
      clearInterval(renewing);
      this.#mine--;
      this.#held.add(-1);
    }
  }

  async #wait(): Promise<void> {
    this.#waiting++;
    this.#held.want(MOST_AT_ONCE);
    do {
      await delay(LOOK_MS);
      this.#renew();
    } while (!this.#take(false));
    if (--this.#waiting === 0) this.#held.want(0);
  }

  #take(yields: boolean): boolean {
    const isTaken = this.#held.tryTake(MOST_AT_ONCE, this.#mine, yields);
    if (isTaken) this.#mine++;
    return isTaken;
  }

  #renew(): void {
    this.#held.renew(this.#mine, this.#clock.monotonic());
  }
}
