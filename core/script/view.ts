/** What operators see of a script: what each thread tells of it, made one. */
import type { ErrorCode } from "../errors.ts";
import type { QuarantineView } from "./quarantine.ts";
import { CALL_BUCKETS_MS, type LastError } from "./script-stats.ts";

/** How it is treated, the worst last. */
export const SCRIPT_STATES = ["running", "demoted", "quarantined"] as const;
export type ScriptState = (typeof SCRIPT_STATES)[number];

/** What one thread tells of a script, or several together: plain data. */
export interface ScriptReading {
  readonly name: string;
  readonly file: string;
  readonly version: string;
  /** Routes that it is a stage of. */
  readonly routes: readonly string[];
  readonly state: ScriptState;
  readonly quarantine: QuarantineView | undefined;
  readonly calls: number;
  /** Calls by the time that they took. */
  readonly buckets: readonly number[];
  readonly errors: Readonly<Partial<Record<ErrorCode, number>>>;
  readonly demotions: number;
  readonly cpuSeconds: number;
  readonly heapBytes: number;
  readonly lastError: LastError | undefined;
}

/** What was read of one script in several places. */
export function mergeReadings(readings: readonly [ScriptReading, ...ScriptReading[]]): ScriptReading {
  return readings.slice(1).reduce(mergeScripts, readings[0]);
}

/** A reading as it is shown. */
export function showScript(id: string, reading: ScriptReading): object {
  const { name, file, version, routes, state, quarantine, buckets, lastError } = reading;
  return {
    id,
    name,
    file,
    version: version.slice(0, 12),
    state,
    quarantine: quarantine ?? null,
    routes,
    calls: reading.calls,
    p50Ms: quantile(buckets, 0.5),
    p99Ms: quantile(buckets, 0.99),
    errors: reading.errors,
    lastError: lastError === undefined ? null : { ...lastError, at: new Date(lastError.at).toISOString() },
    demotions: reading.demotions,
    cpuSeconds: Math.round(reading.cpuSeconds * 1e6) / 1e6,
    heapBytes: reading.heapBytes,
  };
}

/** What two threads tell of a script. */
export function mergeScripts(a: ScriptReading, b: ScriptReading): ScriptReading {
  const errors = { ...a.errors };
  for (const [code, count] of Object.entries(b.errors) as [ErrorCode, number][]) {
    errors[code] = (errors[code] ?? 0) + count;
  }
  const isWorse = SCRIPT_STATES.indexOf(b.state) > SCRIPT_STATES.indexOf(a.state);
  return {
    ...a,
    routes: [...new Set([...a.routes, ...b.routes])],
    state: isWorse ? b.state : a.state,
    quarantine: a.quarantine ?? b.quarantine,
    calls: a.calls + b.calls,
    buckets: a.buckets.map((count, i) => count + b.buckets[i]!),
    errors,
    demotions: a.demotions + b.demotions,
    cpuSeconds: a.cpuSeconds + b.cpuSeconds,
    heapBytes: a.heapBytes + b.heapBytes,
    lastError: (a.lastError?.at ?? 0) > (b.lastError?.at ?? 0) ? a.lastError : b.lastError,
  };
}

/** Milliseconds that a share of the calls took at most, by a straight line within a bucket; null without calls. */
function quantile(buckets: readonly number[], share: number): number | null {
  const total = buckets.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const rank = share * total;
  let below = 0;
  for (const [i, count] of buckets.entries()) {
    if (below + count >= rank && count > 0) {
      const from = CALL_BUCKETS_MS[i - 1] ?? 0;
      const to = CALL_BUCKETS_MS[i] ?? from;
      return Math.round((from + ((to - from) * (rank - below)) / count) * 1000) / 1000;
    }
    below += count;
  }
  return CALL_BUCKETS_MS.at(-1)!;
}
