/** The requests that try whether a circuit may close: how many all threads have let in, and how many went well. */
import { type CircuitCell, PROBED_AT, PROBES } from "./cell.ts";
import { markedWord, readMarked } from "./marked-word.ts";

/** After this those that have not come back are taken for lost: the thread that had them may be gone. */
export const PROBE_TIMEOUT_MS = 60_000;

/** Of the value: what went well is in the lower bits, what was let in above. */
const BITS = 10;
const MOST = (1 << BITS) - 1;

export class Probes {
  readonly #allowed: number;
  readonly #cell: CircuitCell;

  constructor(allowed: number, cell: CircuitCell) {
    this.#allowed = allowed;
    this.#cell = cell;
  }

  /** How many were let in, those that told nothing left out, and how many of them went well. */
  look(ticket: number): { started: number; passed: number } {
    const value = readMarked(this.#load(), ticket);
    return { started: value >> BITS, passed: value & MOST };
  }

  /** Lets one in, if there is room. */
  start(ticket: number, now: number): boolean {
    const { doubles, doublesAt } = this.#cell;
    for (;;) {
      const old = this.#load();
      const value = readMarked(old, ticket);
      let started = value >> BITS;
      const passed = value & MOST;
      if (started >= this.#allowed) {
        if (now - doubles[doublesAt + PROBED_AT]! < PROBE_TIMEOUT_MS) return false;
        started = passed;
      }
      doubles[doublesAt + PROBED_AT] = now;
      if (!this.#cell.isAt(ticket)) return false;
      if (this.#exchange(ticket, old, started + 1, passed)) return true;
    }
  }

  /** One tells nothing: its place goes to another. */
  giveBack(ticket: number): void {
    for (;;) {
      const old = this.#load();
      const value = readMarked(old, ticket);
      const started = value >> BITS;
      const passed = value & MOST;
      if (started === passed || !this.#cell.isAt(ticket)) return;
      if (this.#exchange(ticket, old, started - 1, passed)) return;
    }
  }

  /** One went well. Gives whether that is enough. */
  pass(ticket: number): boolean {
    for (;;) {
      const old = this.#load();
      const value = readMarked(old, ticket);
      const passed = (value & MOST) + 1;
      const started = Math.max(value >> BITS, passed); // it may have been taken for lost
      if (passed > MOST || !this.#cell.isAt(ticket)) return false;
      if (this.#exchange(ticket, old, started, passed)) return passed >= this.#allowed;
    }
  }

  #load(): number {
    const { words, at } = this.#cell;
    return Atomics.load(words, at + PROBES);
  }

  #exchange(ticket: number, old: number, started: number, passed: number): boolean {
    const { words, at } = this.#cell;
    const word = markedWord(ticket, (Math.min(started, MOST) << BITS) | passed);
    return Atomics.compareExchange(words, at + PROBES, old, word) === old;
  }
}
