/** When a gateway process that ended is started again. */

/** A process that served this long was sound: what comes after is the first crash again. */
const STABLE_MS = 10_000;
/** As many crashes in a row are a loop. */
export const MAX_CRASHES = 8;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 30_000;

export class RestartPolicy {
  #crashes = 0;

  /**
   * Takes note of a crash.
   * @param servedMs how long the process served
   * @returns milliseconds to wait: none the first time, then twice as long each time; undefined: give up
   */
  onCrash(servedMs: number): number | undefined {
    this.#crashes = servedMs >= STABLE_MS ? 1 : this.#crashes + 1;
    if (this.#crashes >= MAX_CRASHES) return undefined;
    return this.#crashes === 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (this.#crashes - 2), MAX_DELAY_MS);
  }
}
