/**
 * What became of the requests of the last seconds, of all threads: counts in a ring of buckets, each a tenth of the
 * time, and how many failed in a row.
 *
 * Buckets have numbers, ticks, that grow with time and leap with each state of the circuit, and each count is marked
 * with its tick. So nothing has to be cleared under the hands of those who count: what is too old or of an earlier
 * state is known as such, and whoever counts in its place replaces it.
 */
import { type CircuitCell, FAILURES_IN_A_ROW, NEWEST_TICK, WINDOW } from "./cell.ts";
import { MOST, markedWord, readMarked } from "./marked-word.ts";

const BUCKETS = 10;
/** Where the counts of failures and of slow calls begin, after those of requests. */
const FAILURES = BUCKETS;
const SLOW = 2 * BUCKETS;
/** A tick that is further behind than this is not of the past: the numbers have gone round. */
const FAR = 1 << 16;

export class RollingWindow {
  /** As of the last look. */
  requests = 0;
  failures = 0;
  slow = 0;
  failuresInARow = 0;
  readonly #bucketMs: number;
  readonly #cell: CircuitCell;

  /** @param withinMs how far back it looks; the oldest tenth goes at once */
  constructor(withinMs: number, cell: CircuitCell) {
    this.#bucketMs = withinMs / BUCKETS;
    this.#cell = cell;
  }

  /**
   * Counts a request, and looks.
   * @param ticket of the circuit's state: what was counted before it is forgotten
   */
  add(ticket: number, now: number, isFailure: boolean, isSlow: boolean): void {
    const tick = this.#advance(ticket, now);
    const bucket = placeOf(tick);
    if (this.#count(bucket, tick)) {
      if (isFailure) this.#count(bucket + FAILURES, tick);
      if (isSlow) this.#count(bucket + SLOW, tick);
    }
    this.#countRow(ticket, isFailure);
    this.#sum(ticket, tick);
  }

  /** Looks at what is within the time. */
  look(ticket: number, now: number): void {
    this.#sum(ticket, this.#advance(ticket, now));
  }

  /** The tick to count in. Buckets that it comes past are emptied before anybody counts in them. */
  #advance(ticket: number, now: number): number {
    const { words, at } = this.#cell;
    const tick = (Math.floor(now / this.#bucketMs) + ticket * (BUCKETS + 1)) | 0;
    if (words[at + NEWEST_TICK] === tick) return tick;
    for (;;) {
      const newest = Atomics.load(words, at + NEWEST_TICK);
      const ahead = (tick - newest) | 0;
      if (ahead === 0) return tick;
      // Another thread's clock is a little ahead, or the circuit has changed meanwhile.
      if (ahead < 0 && ahead > -FAR) return ahead > -BUCKETS ? newest : tick;
      this.#empty(newest, ahead > 0 && ahead < BUCKETS ? ahead : BUCKETS);
      if (Atomics.compareExchange(words, at + NEWEST_TICK, newest, tick) === newest) return tick;
    }
  }

  /** Empties the buckets after `newest`, while it is that: marks are too short to tell for ever what is old. */
  #empty(newest: number, buckets: number): void {
    const { words, at } = this.#cell;
    for (let i = 1; i <= buckets; i++) {
      const first = at + WINDOW + placeOf(newest + i);
      for (let word = first; word <= first + SLOW; word += BUCKETS) {
        const old = Atomics.load(words, word);
        if (Atomics.load(words, at + NEWEST_TICK) !== newest) return;
        if (old !== 0) Atomics.compareExchange(words, word, old, 0);
      }
    }
  }

  /** Adds one to a count; false when it is full, or its bucket is another tick's by now. */
  #count(place: number, tick: number): boolean {
    const { words, at } = this.#cell;
    const word = at + WINDOW + place;
    let old = words[word]!;
    if (readMarked(old, tick) === 0) old = Atomics.load(words, word);
    for (;;) {
      const count = readMarked(old, tick);
      if (count === MOST) return false;
      if (count === 0 && ((Atomics.load(words, at + NEWEST_TICK) - tick) | 0) >= BUCKETS) return false;
      const before = Atomics.compareExchange(words, word, old, markedWord(tick, count + 1));
      if (before === old) return true;
      old = before;
    }
  }

  #countRow(ticket: number, isFailure: boolean): void {
    const { words, at } = this.#cell;
    const word = at + FAILURES_IN_A_ROW;
    if (!isFailure && readMarked(words[word]!, ticket) === 0) return;
    for (;;) {
      const old = Atomics.load(words, word);
      const next = isFailure ? Math.min(readMarked(old, ticket) + 1, MOST) : 0;
      if (!this.#cell.isAt(ticket)) return;
      if (Atomics.compareExchange(words, word, old, markedWord(ticket, next)) === old) return;
    }
  }

  /** With plain reads, because there are many: what this thread has counted they do not miss. */
  #sum(ticket: number, newest: number): void {
    const { words, at } = this.#cell;
    let requests = 0;
    let failures = 0;
    let slow = 0;
    for (let i = 0; i < BUCKETS; i++) {
      const tick = newest - i;
      const word = at + WINDOW + placeOf(tick);
      requests += readMarked(words[word]!, tick);
      failures += readMarked(words[word + FAILURES]!, tick);
      slow += readMarked(words[word + SLOW]!, tick);
    }
    this.requests = requests;
    this.failures = failures;
    this.slow = slow;
    this.failuresInARow = readMarked(words[at + FAILURES_IN_A_ROW]!, ticket);
  }
}

function placeOf(tick: number): number {
  return (tick >>> 0) % BUCKETS;
}
