/** Time. */
import type { Clock } from "./plugin.ts";

/** What `performance.now()` counts from, on the system's own monotonic clock: each thread counts from its start. */
const ORIGIN_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** Milliseconds that never go back, the same in all threads of the machine. */
export const monotonicMs = (): number => performance.now() + ORIGIN_MS;

export const systemClock: Clock = { now: () => Date.now(), monotonic: monotonicMs };
