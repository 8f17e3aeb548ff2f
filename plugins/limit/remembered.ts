/** What was worked out for a text, remembered for some thousands of texts. */

/** Texts that are remembered; then all are forgotten. */
const MOST = 4096;
/** Longer ones are worked out each time: clients could fill the memory with them. */
const LONGEST = 256;

export class Remembered<T> {
  readonly #values = new Map<string, T>();
  readonly #workOut: (text: string) => T;

  constructor(workOut: (text: string) => T) {
    this.#workOut = workOut;
  }

  of(text: string): T {
    const known = this.#values.get(text);
    if (known !== undefined) return known;
    const value = this.#workOut(text);
    if (text.length > LONGEST) return value;
    if (this.#values.size === MOST) this.#values.clear();
    this.#values.set(text, value);
    return value;
  }
}
