/**
 * Keeps a script from running, on all threads at once: for a while, after which one call may try whether it is well
 * again, or until somebody lifts it. Exact over threads: each step is one exchange of shared memory, and one thread
 * does it.
 */
import type { SharedState } from "../plugin.ts";
import {
  QUARANTINE_REASONS,
  type QuarantineReason,
  type QuarantineState,
  REASON,
  readState,
  writeState,
} from "./quarantine-state.ts";

export type { QuarantineReason };

/** For how long. One for `killed` ends when the file changes, or an operator lifts it. */
export const QUARANTINE_MS = {
  timeouts: 30_000,
  memory: 30_000,
  stall: 30_000,
  killed: Number.POSITIVE_INFINITY,
} as const satisfies Record<QuarantineReason, number>;

/** A stall harms all that its thread serves. Each within an hour of the one before doubles the time, up to this. */
const LONGEST_STALL_MS = 3_600_000;
const FORGET_STALLS_MS = 3_600_000;
/** A call that tries and says nothing for so long is lost, with its thread perhaps; another may try. */
const PROBE_MS = 10_000;
/** How long the memory is kept when nobody uses it, beyond the time that it has a meaning. */
const KEPT_MS = 7_200_000;
/** When there was no room for it. */
const LOOK_AGAIN_MS = 60_000;

/** What operators see. */
export interface QuarantineView {
  readonly reason: QuarantineReason;
  /** Milliseconds until a call may try; null for never. */
  readonly leftMs: number | null;
  /** A call tries now. */
  readonly isProbing: boolean;
}

/** One for each thread and script. All times that it is given are monotonic milliseconds. */
export class Quarantine {
  readonly #cells: SharedState["circuits"];
  readonly #key: string;
  #words: Int32Array<SharedArrayBuffer>;
  #longs: BigInt64Array<SharedArrayBuffer>;
  /** Its first word. */
  #at = 0;
  /** When it must be located again before it is used. */
  #locateAt = Number.NEGATIVE_INFINITY;
  /** There was no room: other threads know nothing of it. */
  #isOwn = false;
  /** What a call of this thread that tries began with. */
  #probe: bigint | undefined;

  constructor({ circuits }: Pick<SharedState, "circuits">, version: string) {
    this.#cells = circuits;
    this.#key = `script ${version}`;
    this.#words = circuits.words;
    this.#longs = circuits.longs;
  }

  /** True while the script may not run, save for a call that {@link tryProbe} lets. Costs one load. */
  isImposed(nowMs: number): boolean {
    if (nowMs >= this.#locateAt) this.#locate(nowMs, nowMs);
    return (Atomics.load(this.#words, this.#at) & REASON) !== 0;
  }

  /**
   * Keeps the script from running.
   * @param forMs until a call may try; Infinity for ever
   * @returns false when it is already kept from it, for as grave a reason
   */
  impose(reason: QuarantineReason, forMs: number, nowMs: number): boolean {
    for (;;) {
      const seen = this.#look(nowMs);
      const state = readState(seen);
      const isUnderWay = !state.isProbing && nowMs < state.untilMs;
      if (isUnderWay && rankOf(state.reason) >= rankOf(reason)) return false;
      if (this.#imposeOn(seen, reason, forMs, nowMs)) return true;
    }
  }

  /** True for one call on one thread, once the time is over; {@link pass} or {@link fail} says what came of it. */
  tryProbe(nowMs: number): boolean {
    const seen = this.#look(nowMs);
    const { reason, untilMs } = readState(seen);
    if (reason === undefined || nowMs < untilMs) return false;
    this.#probe = this.#change(seen, { isProbing: true, untilMs: nowMs + PROBE_MS });
    return this.#probe !== undefined;
  }

  /** The call that tried went well: all may run it. */
  pass(): void {
    const seen = this.#takeProbe();
    if (seen !== undefined) this.#change(seen, { reason: undefined, isProbing: false });
  }

  /** The call that tried did not. */
  fail(nowMs: number): void {
    const seen = this.#takeProbe();
    if (seen === undefined) return;
    const { reason, forMs } = readState(seen);
    this.#imposeOn(seen, reason!, forMs, nowMs);
  }

  /** All may run it, and nothing is held against it. */
  lift(nowMs: number): void {
    const clear = { reason: undefined, isProbing: false, stalls: 0 };
    while (this.#change(this.#look(nowMs), clear) === undefined);
  }

  /** Undefined while nothing is imposed. */
  describe(nowMs: number): QuarantineView | undefined {
    const { reason, isProbing, untilMs } = readState(this.#look(nowMs));
    if (reason === undefined) return undefined;
    if (isProbing && nowMs < untilMs) return { reason, leftMs: 0, isProbing };
    const leftMs = Math.max(0, untilMs - nowMs);
    return { reason, leftMs: leftMs === Number.POSITIVE_INFINITY ? null : leftMs, isProbing: false };
  }

  /** All of it, as of now. */
  #look(nowMs: number): bigint {
    if (nowMs >= this.#locateAt) this.#locate(nowMs, nowMs);
    return Atomics.load(this.#longs, this.#at / 2);
  }

  #imposeOn(seen: bigint, reason: QuarantineReason, forMs: number, nowMs: number): boolean {
    const before = readState(seen);
    const known = nowMs - before.untilMs < FORGET_STALLS_MS ? before.stalls : 0;
    const isStall = reason === "stall";
    const ms = isStall ? Math.min(forMs * 2 ** known, Math.max(forMs, LONGEST_STALL_MS)) : forMs;
    const untilMs = nowMs + ms;
    this.#locate(nowMs, untilMs);
    const stalls = isStall ? known + 1 : known;
    return this.#change(seen, { reason, isProbing: false, stalls, forMs, untilMs }) !== undefined;
  }

  /** Gives what it is from now on, or undefined when it was another before. */
  #change(seen: bigint, change: Partial<QuarantineState>): bigint | undefined {
    const state = readState(seen);
    const next = writeState({ ...state, ...change, change: (state.change + 1) & 0xff });
    return Atomics.compareExchange(this.#longs, this.#at / 2, seen, next) === seen ? next : undefined;
  }

  #takeProbe(): bigint | undefined {
    const probe = this.#probe;
    this.#probe = undefined;
    return probe;
  }

  /** Finds its memory, or has it kept: for as long as it can matter when nobody looks. */
  #locate(nowMs: number, untilMs: number): void {
    this.#locateAt = nowMs + KEPT_MS / 2;
    // What is imposed on this thread alone stays so.
    if (this.#isOwn && (this.#words[this.#at]! & REASON) !== 0) return;
    const at = this.#cells.locate(this.#key, untilMs - nowMs + KEPT_MS, nowMs);
    if (at !== -1) {
      this.#words = this.#cells.words;
      this.#longs = this.#cells.longs;
      this.#at = at;
      this.#isOwn = false;
      return;
    }
    this.#locateAt = nowMs + LOOK_AGAIN_MS;
    if (this.#isOwn) return;
    const memory = new SharedArrayBuffer(8);
    this.#words = new Int32Array(memory);
    this.#longs = new BigInt64Array(memory);
    this.#at = 0;
    this.#isOwn = true;
  }
}

/** How grave it is; 0 for nothing. */
function rankOf(reason: QuarantineReason | undefined): number {
  return reason === undefined ? 0 : QUARANTINE_REASONS.indexOf(reason) + 1;
}
