/**
 * Where the state of a circuit is: in a cell of memory that all threads see, or in this thread's own as long as there
 * is no room.
 */
import type { SharedCells } from "../../core/plugin.ts";
import { isFree, ticketOf } from "./state-word.ts";

/** Words of a cell, counted from its first. */
export const STATE = 0;
export const NEWEST_TICK = 1;
export const FAILURES_IN_A_ROW = 2;
export const PROBES = 3;
export const REASON = 4;
export const REASON_COUNT = 5;
export const REASON_OF = 6;
/** Which thread shows it in metrics: its number and one. */
export const TELLER = 7;
/** Doubles of a cell, counted from its first. */
export const OPEN_UNTIL = 4;
export const CHANGED_AT = 5;
export const PROBED_AT = 6;
export const TOLD_AT = 7;
/** Five doubles. */
export const RECOVERY = 8;
/** Thirty words. */
export const WINDOW = 26;

/** What a cell must have room for. */
export const CELL_WORDS = 56;

/** How long a circuit's state is kept at least when nobody uses it, in milliseconds. */
export interface KeptMs {
  /** While it lets everybody in. */
  readonly free: number;
  readonly otherwise: number;
}

export class CircuitCell {
  words: Int32Array<SharedArrayBuffer>;
  doubles: Float64Array<SharedArrayBuffer>;
  /** Its first word. */
  at = 0;
  /** Its first double. */
  doublesAt = 0;
  /** When it must be located again before it is used, in monotonic milliseconds. */
  locateAt = Number.NEGATIVE_INFINITY;
  /** This thread's alone: other threads know nothing of the circuit. */
  isOwn = true;
  readonly #cells: SharedCells;
  readonly #key: string;
  readonly #keptMs: KeptMs;

  constructor(cells: SharedCells, key: string, keptMs: KeptMs) {
    this.words = cells.words;
    this.doubles = cells.doubles;
    this.#cells = cells;
    this.#key = key;
    this.#keptMs = keptMs;
  }

  /** False when the circuit has gone on: whoever has to do with that state comes too late. */
  isAt(ticket: number): boolean {
    return ticketOf(Atomics.load(this.words, this.at + STATE)) === ticket;
  }

  /** Finds the cell, or keeps it for those who have it. A circuit of this thread's own is shared once it is closed. */
  locate(now: number): void {
    const isFirst = this.locateAt === Number.NEGATIVE_INFINITY;
    const isCalm = isFirst || isFree(this.words[this.at + STATE]!);
    const keptMs = isCalm ? this.#keptMs.free : this.#keptMs.otherwise;
    this.locateAt = now + keptMs;
    if (this.isOwn && !isCalm) return;
    // Twice that: it must not go before this thread locates it again, and that is when it is used.
    const at = this.#cells.locate(this.#key, 2 * keptMs, now);
    if (at !== -1) {
      this.words = this.#cells.words;
      this.doubles = this.#cells.doubles;
      this.at = at;
      this.doublesAt = at / 2;
      this.isOwn = false;
    } else if (isFirst || !this.isOwn) {
      const memory = new SharedArrayBuffer(CELL_WORDS * 4);
      this.words = new Int32Array(memory);
      this.doubles = new Float64Array(memory);
      this.at = 0;
      this.doublesAt = 0;
      this.isOwn = true;
    }
  }
}
