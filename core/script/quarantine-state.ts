/**
 * What a quarantine is at a moment, as two words of shared memory that are read and exchanged as one. The lowest bits
 * of the first are zero when nothing is imposed; the second says until when.
 */

/** Why a script may not run, the gravest last. */
export const QUARANTINE_REASONS = ["timeouts", "memory", "stall", "killed"] as const;
export type QuarantineReason = (typeof QUARANTINE_REASONS)[number];

export interface QuarantineState {
  /** Undefined when nothing is imposed. */
  readonly reason: QuarantineReason | undefined;
  /** A call tries whether it is well again. */
  readonly isProbing: boolean;
  /** How often it was imposed for a stall, up to 15. */
  readonly stalls: number;
  /** For how long it is imposed the first time, in whole seconds. Infinity for ever, and when more than 18 hours. */
  readonly forMs: number;
  /** When it is over, when a probe is taken for lost, or when that was; monotonic, in tenths of a second. */
  readonly untilMs: number;
  /** Grows with each change, so that none is taken for an earlier one; from 0 to 255. */
  readonly change: number;
}

/** Bits of the first word that say why. */
export const REASON = 0b111;
const PROBING = 0b1000;
const STALLS_AT_BIT = 4;
const MOST_STALLS = 0xf;
const SECONDS_AT_BIT = 8;
const ALL_SECONDS = 0xffff;
const CHANGE_AT_BIT = 24;
const TICK_MS = 100;
const ALL_TICKS = 0xffff_ffff;

/** The same 64 bits, seen as two words and as one. */
const pair = new Uint32Array(2);
const long = new BigInt64Array(pair.buffer);

export function readState(bits: bigint): QuarantineState {
  long[0] = bits;
  const word = pair[0]!;
  const ticks = pair[1]!;
  const seconds = (word >>> SECONDS_AT_BIT) & ALL_SECONDS;
  return {
    reason: QUARANTINE_REASONS[(word & REASON) - 1],
    isProbing: (word & PROBING) !== 0,
    stalls: (word >>> STALLS_AT_BIT) & MOST_STALLS,
    forMs: seconds === ALL_SECONDS ? Number.POSITIVE_INFINITY : seconds * 1000,
    untilMs: ticks === ALL_TICKS ? Number.POSITIVE_INFINITY : ticks * TICK_MS,
    change: word >>> CHANGE_AT_BIT,
  };
}

export function writeState({ reason, isProbing, stalls, forMs, untilMs, change }: QuarantineState): bigint {
  const why = reason === undefined ? 0 : QUARANTINE_REASONS.indexOf(reason) + 1;
  pair[0] =
    why |
    (isProbing ? PROBING : 0) |
    (Math.min(stalls, MOST_STALLS) << STALLS_AT_BIT) |
    (Math.min(Math.ceil(forMs / 1000), ALL_SECONDS) << SECONDS_AT_BIT) |
    (change << CHANGE_AT_BIT);
  pair[1] = Math.min(Math.ceil(untilMs / TICK_MS), ALL_TICKS);
  return long[0]!;
}
