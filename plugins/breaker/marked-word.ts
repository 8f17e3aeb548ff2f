/**
 * Words that say what their value is of, a state of the circuit or a tenth of its time, by the end of its number. A
 * value of something else is none: nobody has to clear it first.
 */

const VALUE_BITS = 20;

/** Largest value. */
export const MOST = (1 << VALUE_BITS) - 1;

/** The value of a word if it is of `what`, else 0. */
export function readMarked(word: number, what: number): number {
  return (word ^ (what << VALUE_BITS)) >>> VALUE_BITS === 0 ? word & MOST : 0;
}

export function markedWord(what: number, value: number): number {
  return (what << VALUE_BITS) | value;
}
