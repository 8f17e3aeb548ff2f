/** How near to its end something is, and what that means for a request. */

/** How much of a new reading is believed at once: more when it is worse, so that trouble is seen soon. */
const RISE = 0.4;
const FALL = 0.15;
/** As near to the ends as nobody can tell. */
const EDGE = 0.01;

/** Something that is measured again and again, smoothed, and where it is between two levels. */
export class Signal {
  /** Name in logs and metrics. */
  readonly name: string;
  /** The smoothed reading. */
  value = 0;
  readonly #from: number;
  readonly #full: number;
  #isFirst = true;

  /**
   * @param from reading at which the pressure begins
   * @param full reading at which it is complete
   */
  constructor(name: string, from: number, full: number) {
    this.name = name;
    this.#from = from;
    this.#full = full;
  }

  observe(reading: number): void {
    // One long pause says that there was one, however long it was.
    const capped = Math.min(reading, this.#full);
    if (this.#isFirst) {
      this.#isFirst = false;
      this.value = capped;
    } else this.value += (capped - this.value) * (capped > this.value ? RISE : FALL);
  }

  /** Where it is: 0 up to `from`, 1 from `full` on. */
  get pressure(): number {
    const share = (this.value - this.#from) / (this.#full - this.#from);
    if (share < EDGE) return 0;
    return share > 1 - EDGE ? 1 : share;
  }
}

/**
 * The share of requests to shed.
 * @param pressure 0 to 1
 * @param priority 0 to 1; requests of priority 1 are never shed
 */
export function shedShare(pressure: number, priority: number): number {
  if (priority >= 1 || pressure <= priority) return 0;
  return (pressure - priority) / (1 - priority);
}
