/** How old a stored response is (RFC 9111 section 4.2.3). */
import type { Entry } from "./entry.ts";

/** When a response was asked for, and when its head came: milliseconds since the Unix epoch. */
export interface Times {
  readonly requestedAtMs: number;
  readonly respondedAtMs: number;
}

/** Ages above this many seconds are told as this (section 1.2.2). */
const MAX_AGE_SECONDS = 2 ** 31;

/** `corrected_initial_age`: what Date says, or what Age says with the time that the reply took, whichever is more. */
export function initialAgeMs(times: Times, dateMs: number | undefined, ageMs: number): number {
  const apparentMs = dateMs === undefined ? 0 : times.respondedAtMs - dateMs;
  const delayMs = times.respondedAtMs - times.requestedAtMs;
  return Math.max(0, apparentMs, ageMs + delayMs);
}

/** `current_age`. */
export function ageMs(entry: Entry, nowMs: number): number {
  // A clock that was set back is wrong by at least that much, and so may the age be.
  return entry.initialAgeMs + Math.abs(nowMs - entry.respondedAtMs);
}

/** The value of Age: whole seconds. */
export function ageSeconds(entry: Entry, nowMs: number): number {
  return Math.min(Math.floor(ageMs(entry, nowMs) / 1000), MAX_AGE_SECONDS);
}
