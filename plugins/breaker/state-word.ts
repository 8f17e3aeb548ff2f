/**
 * All of a circuit's state in one word, so that whoever exchanges it makes the whole transition, and nobody sees half
 * of one. Zero is a circuit that never did anything but let requests in.
 */

/** Where a circuit stands, as people see it. */
export type CircuitState = "closed" | "half-open" | "open";

/** What an operator wants, whatever the outcomes say. */
export type Force = "open" | "closed";

/** Where a circuit stands by itself; what is forced may hide it. A circuit that recovers is closed. */
export const CLOSED = 0;
export const RECOVERING = 1;
export const HALF_OPEN = 2;
export const OPEN = 3;
type Phase = typeof CLOSED | typeof RECOVERING | typeof HALF_OPEN | typeof OPEN;

const PHASE = 0b11;
const FORCED_OPEN = 0b01 << 2;
const FORCED_CLOSED = 0b10 << 2;
const FORCED = FORCED_OPEN | FORCED_CLOSED;
const OPENED_AT_BIT = 4;
/** Doubling a millisecond so often is longer than any time that is allowed. */
const MOST_OPENED = 31;
const EPOCH_AT_BIT = 9;

export function phaseOf(word: number): Phase {
  return (word & PHASE) as Phase;
}

/** True when everybody may pass and nothing is forced. */
export function isFree(word: number): boolean {
  return (word & (PHASE | FORCED)) === 0;
}

/** True when nothing is forced and probes decide. */
export function isProbing(word: number): boolean {
  return (word & (PHASE | FORCED)) === HALF_OPEN;
}

export function isForced(word: number): boolean {
  return (word & FORCED) !== 0;
}

export function forcedOf(word: number): Force | undefined {
  if ((word & FORCED) === 0) return undefined;
  return (word & FORCED_OPEN) !== 0 ? "open" : "closed";
}

const STATES = ["closed", "closed", "half-open", "open"] as const satisfies readonly CircuitState[];

export function stateOf(word: number): CircuitState {
  return forcedOf(word) ?? STATES[phaseOf(word)];
}

/** How often it opened since it was well. */
export function openedOf(word: number): number {
  return (word >>> OPENED_AT_BIT) & MOST_OPENED;
}

/** Another for each state, so that outcomes of an earlier one are known as such; from 1. */
export function ticketOf(word: number): number {
  return (word >>> EPOCH_AT_BIT) + 1;
}

/** The state after `word`: what was counted or is under way says nothing about it. */
export function nextWord(word: number, phase: Phase, force: Force | undefined, opened: number): number {
  const forced = force === undefined ? 0 : force === "open" ? FORCED_OPEN : FORCED_CLOSED;
  const epoch = (word >>> EPOCH_AT_BIT) + 1;
  return (epoch << EPOCH_AT_BIT) | (Math.min(opened, MOST_OPENED) << OPENED_AT_BIT) | forced | phase;
}

/** A state that recovers at the end of it: the same, but all are let in. */
export function recoveredWord(word: number): number {
  return word & ~(PHASE | (MOST_OPENED << OPENED_AT_BIT));
}
