/** Why replies were not stored lately, for those who look for them. */

/** Longer addresses are not remembered. */
const LONGEST = 2048;

export interface Refusal {
  /** The word of Cache-Status. */
  readonly reason: string;
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
}

export class Refusals {
  readonly #most: number;
  /** By address, the oldest first. */
  readonly #all = new Map<string, Refusal>();

  constructor(most = 1000) {
    this.#most = most;
  }

  note(address: string, reason: string, at: number): void {
    if (address.length > LONGEST) return;
    this.#all.delete(address);
    this.#all.set(address, { reason, at });
    if (this.#all.size > this.#most) this.#all.delete(this.#all.keys().next().value!);
  }

  get(address: string): Refusal | undefined {
    return this.#all.get(address);
  }
}
