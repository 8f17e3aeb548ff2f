/** Time. */
import type { Clock } from "./plugin.ts";

/** What `performance.now()` counts from, on the clock of the machine, in whole milliseconds: each thread has its own. */
const ORIGIN_MS = Math.round(Number(process.hrtime.bigint()) / 1e6 - performance.now());

/** Milliseconds that never go back, the same in all threads of the machine. */
export const monotonicMs = (): number => performance.now() + ORIGIN_MS;

export const systemClock: Clock = { now: () => Date.now(), monotonic: monotonicMs };
