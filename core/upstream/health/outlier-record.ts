/** What passive health remembers of one target: its last failures, its requests of late, its ejections. */

/** Parts of a window: what is counted is at most this part of it too new or too old. */
const SLOTS = 10;

/** Requests and failures of the last while, in plain numbers: nothing is allocated and no timer runs. */
export class RollingCounts {
  requests = 0;
  failures = 0;
  readonly withinMs: number;
  readonly #slotMs: number;
  readonly #requests = new Uint32Array(SLOTS);
  readonly #failures = new Uint32Array(SLOTS);
  #at = 0;

  constructor(withinMs: number) {
    this.withinMs = withinMs;
    this.#slotMs = withinMs / SLOTS;
  }

  /** A request has ended. */
  count(now: number, failures: 0 | 1): void {
    this.advance(now);
    const slot = this.#at % SLOTS;
    this.#requests[slot]!++;
    this.requests++;
    if (failures === 0) return;
    this.#failures[slot]!++;
    this.failures++;
  }

  /** Forgets what is older than the window. */
  advance(now: number): void {
    const at = Math.floor(now / this.#slotMs);
    if (at === this.#at) return;
    const passed = Math.min(at - this.#at, SLOTS);
    for (let i = 1; i <= passed; i++) {
      const slot = (this.#at + i) % SLOTS;
      this.requests -= this.#requests[slot]!;
      this.failures -= this.#failures[slot]!;
      this.#requests[slot] = 0;
      this.#failures[slot] = 0;
    }
    this.#at = at;
  }

  clear(): void {
    this.requests = this.failures = 0;
    this.#requests.fill(0);
    this.#failures.fill(0);
  }
}

export class OutlierRecord {
  /** Failures since the last success. */
  streak = 0;
  /** Requests of late; undefined when nobody asks for a rate. */
  readonly counts: RollingCounts | undefined;
  /** When the last failures in a row were, in turns. */
  readonly #times: Float64Array;
  #doublings = 0;
  #lastMs = 0;
  #until = Number.NEGATIVE_INFINITY;
  #refusedUntil = Number.NEGATIVE_INFINITY;

  /**
   * @param failures how many in a row are asked for
   * @param withinMs the window of `counts`; undefined for none
   * @param before what was known under other options: its ejections count on
   */
  constructor(failures: number, withinMs: number | undefined, before?: OutlierRecord) {
    this.#times = new Float64Array(failures);
    this.counts = withinMs === undefined ? undefined : new RollingCounts(withinMs);
    if (before === undefined) return;
    this.#doublings = before.#doublings;
    this.#lastMs = before.#lastMs;
    this.#until = before.#until;
  }

  /** True when it is what these options ask for. */
  fits(failures: number, withinMs: number | undefined): boolean {
    return this.#times.length === failures && this.counts?.withinMs === withinMs;
  }

  /** One more failure in a row. Gives the milliseconds since the first of as many as are asked for, if there are. */
  fail(now: number): number | undefined {
    const size = this.#times.length;
    if (size === 0) return undefined;
    this.#times[this.streak++ % size] = now;
    return this.streak < size ? undefined : now - this.#times[this.streak % size]!;
  }

  /** Begins anew. */
  clear(): void {
    this.streak = 0;
    this.counts?.clear();
  }

  /**
   * It is ejected now. Gives for how many milliseconds: twice as long as the time before, if it came back for a
   * shorter time than it had been away; for each such time that it behaved one doubling is taken back.
   */
  eject(now: number, firstMs: number, maxMs: number): number {
    if (this.#lastMs > 0) {
      const behaved = Math.floor(Math.max(0, now - this.#until) / this.#lastMs);
      this.#doublings = Math.max(0, this.#doublings - behaved);
    }
    this.#lastMs = Math.min(firstMs * 2 ** this.#doublings, maxMs);
    if (this.#lastMs < maxMs) this.#doublings++;
    this.#until = now + this.#lastMs;
    return this.#lastMs;
  }

  /**
   * It should be ejected now, and is not. True when that is news: once for the time that an ejection would have
   * lasted, because every failure asks again.
   */
  refuse(now: number, firstMs: number): boolean {
    if (now < this.#refusedUntil) return false;
    this.#refusedUntil = now + firstMs;
    return true;
  }
}
