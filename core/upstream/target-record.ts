/**
 * Where what is known of a target is in the memory that threads share. What several threads change is changed with
 * Atomics; all is read as it is, because a word or a double is never seen half written. Who changes what decides which
 * targets are used raises the upstream's version after it, and who sees a new version sees the change.
 */

/** Offsets in words of 32 bits. */
export const WORD = {
  /** Tells it from an earlier record of the same URL. */
  serial: 0,
  /** Requests under way, of all threads. */
  inFlight: 1,
  /** Place in {@link HEALTH}. */
  healthy: 2,
  /** Place in {@link ADMIN_STATES}. */
  adminState: 3,
  /** 1 from an ejection until somebody says that it is over. */
  isOut: 4,
  /** Place in {@link REASONS} of the last ejection. */
  reason: 5,
  /** How often the next ejection lasts twice as long as the first. */
  doublings: 6,
  /** Ejections so far, a word for each of {@link REASONS}. */
  ejections: 8,
  /** Ejections that were due and not made, likewise. */
  refusals: 10,
  /** Requests under way of each thread: a word that only this thread writes. */
  lanes: 26,
} as const;

/** Offsets in doubles. */
export const DOUBLE = {
  /** Weight that an operator set; NaN for none. */
  weight: 6,
  /** When the last ejection ends or ended; -Infinity when there was none. */
  ejectedUntil: 7,
  /** Since when it is used again, apart from ejections; -Infinity when it always was. */
  warmFrom: 8,
  latencyMs: 9,
  /** When the latency was observed last. */
  latencyAt: 10,
  /** How long the last ejection was to last. */
  lastEjectionMs: 11,
  /** Until when refused ejections are no news. */
  refusedUntil: 12,
} as const;

/** Verdicts of the active checks. */
export const HEALTH = [undefined, true, false] as const;

/** Whether an operator lets requests go to a target: all, those that belong to it already, or none. */
export const ADMIN_STATES = ["active", "draining", "disabled"] as const;
export type AdminState = (typeof ADMIN_STATES)[number];

/** Why a target is ejected: for the log and the metric. */
export const REASONS = ["failures", "error-rate"] as const;
export type EjectionReason = (typeof REASONS)[number];

/** Makes the memory of a target of which nothing is known. */
export function createTargetRecord(serial: number, threads: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(8 * Math.ceil((WORD.lanes + threads) / 2));
  new Int32Array(memory)[WORD.serial] = serial;
  const doubles = new Float64Array(memory);
  doubles[DOUBLE.weight] = Number.NaN;
  doubles[DOUBLE.ejectedUntil] = Number.NEGATIVE_INFINITY;
  doubles[DOUBLE.warmFrom] = Number.NEGATIVE_INFINITY;
  doubles[DOUBLE.refusedUntil] = Number.NEGATIVE_INFINITY;
  return memory;
}

/** Tells a record from an earlier one of the same URL. */
export function serialOf(memory: SharedArrayBuffer): number {
  return new Int32Array(memory)[WORD.serial]!;
}

/** Takes what a thread counted, and cannot take back any more, off a total. */
export function forgetLane(words: Int32Array<SharedArrayBuffer>, total: number, lane: number): void {
  Atomics.sub(words, total, Atomics.exchange(words, lane, 0));
}
