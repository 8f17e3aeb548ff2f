/**
 * What passive health remembers of one target, in memory that all threads see: its last failures in a row, and its
 * requests of late. Both are exact whichever threads the requests come to, and no thread waits for another.
 *
 * Words of 32 bits: the streak, how many failures are asked for. Doubles: the window of the counts (NaN for none), then
 * when the last failures in a row were, in turns. Then for each thread, which alone writes there: what its counts belong
 * to, and for each part of the window which one it is, its requests and its failures.
 */
const STREAK = 0;
const SIZE = 1;
/** Place among doubles. */
const WITHIN = 1;
const TIMES = 2;

/** Parts of a window: what is counted is at most this part of it too new or too old. */
const SLOTS = 10;
/** Words of a part: which one it is, its requests, its failures. */
const SLOT_WORDS = 3;
/** Words of a thread: the era of its counts, and the parts. */
const LANE_WORDS = 1 + SLOTS * SLOT_WORDS;

/** The streak is two numbers: how often all began anew, and failures since the last success. */
const ERA_SHIFT = 16;
const STREAK_MASK = (1 << ERA_SHIFT) - 1;
const ERA_MASK = ~STREAK_MASK;

export class OutlierRecord {
  readonly memory: SharedArrayBuffer;
  /** Window of its counts; undefined when nobody asks for a rate. */
  readonly withinMs: number | undefined;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #times: Float64Array<SharedArrayBuffer>;
  /** Where the lanes of threads begin, in words, and that of this thread. */
  readonly #lanes: number;
  readonly #lane: number;
  readonly #slotMs: number;

  /**
   * Makes the memory of a target that did nothing yet.
   * @param failures how many in a row are asked for
   * @param withinMs the window of its counts; undefined for none
   */
  static create(failures: number, withinMs: number | undefined, threads: number): SharedArrayBuffer {
    const lanes = withinMs === undefined ? 0 : threads * LANE_WORDS;
    const memory = new SharedArrayBuffer(8 * (TIMES + failures + Math.ceil(lanes / 2)));
    new Int32Array(memory)[SIZE] = failures;
    new Float64Array(memory)[WITHIN] = withinMs ?? Number.NaN;
    return memory;
  }

  /** @param thread number of the thread that uses it */
  constructor(memory: SharedArrayBuffer, thread: number) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
    const size = this.#words[SIZE]!;
    const withinMs = new Float64Array(memory)[WITHIN]!;
    this.withinMs = Number.isNaN(withinMs) ? undefined : withinMs;
    this.#slotMs = withinMs / SLOTS;
    this.#times = new Float64Array(memory, 8 * TIMES, size);
    this.#lanes = 2 * (TIMES + size);
    this.#lane = this.#lanes + thread * LANE_WORDS;
  }

  /** True when it is what these options ask for. */
  fits(failures: number, withinMs: number | undefined): boolean {
    return this.#times.length === failures && this.withinMs === withinMs;
  }

  /** Failures since the last success, and more: what {@link fail} wants to have seen. */
  get mark(): number {
    return Atomics.load(this.#words, STREAK);
  }

  /** Failures since the last success; more than twice as many as are asked for are not counted. */
  get streak(): number {
    return this.#words[STREAK]! & STREAK_MASK;
  }

  /** A success: the next failure is the first. */
  succeed(): void {
    if (this.streak !== 0) Atomics.and(this.#words, STREAK, ERA_MASK);
  }

  /** One more failure in a row. False, and nothing is done, when something else has happened since `mark`. */
  fail(mark: number, now: number): boolean {
    const size = this.#times.length;
    if (size === 0) return true;
    const streak = mark & STREAK_MASK;
    const next = streak + 1 === 2 * size ? size : streak + 1;
    const after = (mark & ERA_MASK) | next;
    if (Atomics.compareExchange(this.#words, STREAK, mark, after) !== mark) return false;
    this.#times[streak % size] = now;
    return true;
  }

  /**
   * Milliseconds since the first of as many failures in a row as are asked for; undefined while there are fewer. Another
   * thread may be about to write that time: then it seems longer ago, and the next failure tells.
   * @param mark that the last failure was counted after
   */
  sinceFirst(mark: number, now: number): number | undefined {
    const size = this.#times.length;
    const streak = (mark & STREAK_MASK) + 1;
    return size === 0 || streak < size ? undefined : now - this.#times[streak % size]!;
  }

  /** A request has ended: counted where a rate is asked for. */
  count(now: number, failures: 0 | 1): void {
    if (this.withinMs === undefined) return;
    const words = this.#words;
    const lane = this.#lane;
    const era = words[STREAK]! >>> ERA_SHIFT;
    if (words[lane] !== era) {
      words.fill(0, lane + 1, lane + LANE_WORDS);
      Atomics.store(words, lane, era);
    }
    const at = Math.floor(now / this.#slotMs) | 0;
    const slot = lane + 1 + ((at >>> 0) % SLOTS) * SLOT_WORDS;
    if (words[slot] !== at) {
      words.fill(0, slot + 1, slot + SLOT_WORDS);
      Atomics.store(words, slot, at);
    }
    words[slot + 1]!++;
    words[slot + 2]! += failures;
  }

  /** Requests of the last while, of all threads. */
  requests(now: number): number {
    return this.#sum(now, 1);
  }

  /** Those of them that failed. */
  failures(now: number): number {
    return this.#sum(now, 2);
  }

  /** Begins anew. To be called with the upstream's lock. */
  clear(): void {
    const era = (this.mark >>> ERA_SHIFT) + 1;
    Atomics.store(this.#words, STREAK, era << ERA_SHIFT);
  }

  #sum(now: number, part: 1 | 2): number {
    const words = this.#words;
    const era = this.mark >>> ERA_SHIFT;
    const at = Math.floor(now / this.#slotMs) | 0;
    let sum = 0;
    for (let lane = this.#lanes; lane + LANE_WORDS <= words.length; lane += LANE_WORDS) {
      if (Atomics.load(words, lane) !== era) continue;
      for (let slot = lane + 1; slot < lane + LANE_WORDS; slot += SLOT_WORDS) {
        // Another thread may have begun the next part already.
        const age = (at - Atomics.load(words, slot)) | 0;
        if (age >= -1 && age < SLOTS) sum += words[slot + part]!;
      }
    }
    return sum;
  }
}
