/** How long entries stay in a store. */
import type { Entry } from "../entry.ts";

/** What can be validated is kept for longer than it can be used: an upstream that says 304 is asked for little. */
const VALIDATABLE_MS = 10 * 60_000;
const LONGEST_MS = 365 * 86_400_000;

/** Whole milliseconds from now, at most a year; 0 or less for what is of no use. */
export function lifetimeOf(entry: Entry, nowMs: number): number {
  const ageMs = entry.initialAgeMs + Math.abs(nowMs - entry.respondedAtMs);
  const freshMs = Math.max(0, entry.freshMs - ageMs);
  const overMs = Math.max(0, ageMs - entry.freshMs);
  const graceMs = Math.max(
    entry.staleWhileRevalidateMs,
    entry.staleIfErrorMs,
    isValidatable(entry) ? VALIDATABLE_MS : 0,
  );
  return Math.ceil(Math.min(freshMs + graceMs - overMs, LONGEST_MS));
}

function isValidatable({ headers }: Entry): boolean {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase();
    if (name === "etag" || name === "last-modified") return true;
  }
  return false;
}
