/** What a thread has of something that is for all of them, when they cannot agree. */
import type { SharedState } from "../plugin.ts";

type Place = Pick<SharedState, "thread" | "threads">;

/** A thread's part of a number; all parts together are the number. */
export function partOf(count: number, { thread, threads }: Place): number {
  return Math.floor(count / threads) + (thread < count % threads ? 1 : 0);
}

/** The same for a limit, which is never nothing. */
export function shareOf(limit: number, place: Place): number {
  return Math.max(1, partOf(limit, place));
}
