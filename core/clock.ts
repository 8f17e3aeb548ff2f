/** Time. */
import type { Clock } from "./plugin.ts";

/** Parts of a millisecond: sums stay exact, and clocks of threads differ by less than two of them. */
const PARTS = 1024;

/** Looks at both clocks: the system may hold a thread up between two looks, though not each time. */
const LOOKS = 16;

/** What `performance.now()` counts from, on the clock of the machine: each thread has its own. */
function findOrigin(): number {
  let origin = 0;
  for (let i = 0; i < LOOKS; i++) {
    origin = Math.max(origin, Number(process.hrtime.bigint()) / 1e6 - performance.now());
  }
  return Math.round(origin * PARTS) / PARTS;
}

const ORIGIN_MS = findOrigin();

/** Milliseconds that never go back, the same in all threads of the machine. */
export const monotonicMs = (): number => performance.now() + ORIGIN_MS;

export const systemClock: Clock = { now: () => Date.now(), monotonic: monotonicMs };
