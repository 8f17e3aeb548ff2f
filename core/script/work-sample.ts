/** Time limits are of a clock: tells a call that has run for too long from one that waited for a core instead. */

/** How old a sample of the thread's processor time may be when a call begins. */
const SAMPLE_MS = 2;
/** Share of its time limit that a call has used which timed out by its own fault. */
const AT_WORK = 0.7;

export class WorkSample {
  /** The processor time that this thread had used, a moment before the call that runs now. */
  #used: NodeJS.CpuUsage | undefined;
  #usedAt = Number.NEGATIVE_INFINITY;

  /** A call is about to begin. */
  refresh(now: number): void {
    if (now - this.#usedAt > SAMPLE_MS) this.take(now);
  }

  take(now: number): void {
    this.#usedAt = now;
    this.#used = process.threadCpuUsage();
  }

  /** The call that has just reached this time limit did not run for most of it. */
  isStarved(limitMs: number): boolean {
    const { user, system } = process.threadCpuUsage(this.#used);
    return (user + system) / 1000 < AT_WORK * limitMs;
  }
}
