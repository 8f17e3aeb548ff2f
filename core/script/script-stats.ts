/** What is counted of a script on one thread. */
import type { ErrorCode, GatewayError } from "../errors.ts";

/** Upper bounds of the buckets of calls by time, in milliseconds; the last is open. */
export const CALL_BUCKETS_MS = [
  0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000,
] as const;

/** What went wrong last. */
export interface LastError {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly code: ErrorCode;
  readonly message: string;
}

export class ScriptStats {
  calls = 0;
  demotions = 0;
  /** Calls that failed, by code. */
  readonly errors = new Map<ErrorCode, number>();
  readonly buckets: number[] = Array.from({ length: CALL_BUCKETS_MS.length + 1 }, () => 0);
  lastError: LastError | undefined;
  /** Failures pass here on more than one way. */
  readonly #counted = new WeakSet<GatewayError>();

  countCall(ms: number): void {
    this.calls++;
    let i = 0;
    while (i < CALL_BUCKETS_MS.length && ms > CALL_BUCKETS_MS[i]!) i++;
    this.buckets[i]!++;
  }

  /** @param now milliseconds since the epoch */
  countError(error: GatewayError, now: number): void {
    const { code, cause, message } = error;
    if (!code.startsWith("SCRIPT_") || this.#counted.has(error)) return;
    this.#counted.add(error);
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1);
    // Why it is in quarantine is worth more than that it is.
    if (code === "SCRIPT_QUARANTINED") return;
    this.lastError = { at: now, code, message: cause instanceof Error ? cause.message : message };
  }
}
