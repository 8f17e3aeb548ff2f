/**
 * How a script that takes too long is treated, on one thread: one timeout, and it runs on a thread of its own, where it
 * holds up nobody; more, and it is not run at all for a while; well for long enough, and all is as before.
 */

/** Faults until it is quarantined. */
const MAX_FAULTS = 4;
/** Calls in a row that go well until it is promoted again. */
const CLEAN_CALLS = 200;

export class Ladder {
  isDemoted = false;
  #faults = 0;
  #clean = 0;

  /** A call has timed out, or taken too much memory. True when it must be quarantined now. */
  onFault(): boolean {
    this.#clean = 0;
    this.isDemoted = true;
    if (++this.#faults < MAX_FAULTS) return false;
    this.#faults = 0;
    return true;
  }

  /** A call went well while it was demoted. */
  onClean(): void {
    if (++this.#clean >= CLEAN_CALLS) this.reset();
  }

  reset(): void {
    this.isDemoted = false;
    this.#faults = 0;
    this.#clean = 0;
  }
}
