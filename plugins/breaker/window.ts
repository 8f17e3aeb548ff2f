/** What became of the requests of the last seconds: counts in a ring of buckets, each a tenth of the time. */

const BUCKETS = 10;

export class RollingWindow {
  requests = 0;
  failures = 0;
  slow = 0;
  readonly #bucketMs: number;
  /** Requests, failures and slow ones of each bucket, one after the other. */
  readonly #counts = new Float64Array(BUCKETS * 3);
  /** Number of the newest bucket since the clock's zero; its place is the rest of a division. */
  #newest = 0;

  /** @param withinMs how far back it looks; the oldest tenth goes at once */
  constructor(withinMs: number) {
    this.#bucketMs = withinMs / BUCKETS;
  }

  /** Counts a request. */
  add(now: number, isFailure: boolean, isSlow: boolean): void {
    this.forget(now);
    const at = (this.#newest % BUCKETS) * 3;
    const counts = this.#counts;
    this.requests++;
    counts[at]!++;
    if (isFailure) {
      this.failures++;
      counts[at + 1]!++;
    }
    if (isSlow) {
      this.slow++;
      counts[at + 2]!++;
    }
  }

  /** Drops what is too old. */
  forget(now: number): void {
    const newest = Math.floor(now / this.#bucketMs);
    if (newest <= this.#newest) return;
    if (newest - this.#newest >= BUCKETS) this.clear();
    else for (let i = this.#newest + 1; i <= newest; i++) this.#drop(i % BUCKETS);
    this.#newest = newest;
  }

  clear(): void {
    this.#counts.fill(0);
    this.requests = 0;
    this.failures = 0;
    this.slow = 0;
  }

  #drop(bucket: number): void {
    const at = bucket * 3;
    const counts = this.#counts;
    this.requests -= counts[at]!;
    this.failures -= counts[at + 1]!;
    this.slow -= counts[at + 2]!;
    counts.fill(0, at, at + 3);
  }
}
