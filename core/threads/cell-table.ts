/**
 * A table of cells in shared memory: fixed in size, open addressing, found by the 64-bit hash of a key. No thread
 * ever waits for another, and a thread may end at any instruction; see docs/decisions/010-shared-memory.md.
 *
 * A cell lies in the window of 32 or 64 places that begins where the hash of its key says. Its first two words are
 * changed together, by one 64-bit compare-and-swap, and say what it is:
 *
 *   free     -> pending   A thread wants it for a key that it has not found. Its payload is zero already.
 *   pending  -> live      Whoever looks for that key settles which of several pending cells it will be: the first
 *                         in the window, unless one is live already. So a key never has two live cells.
 *   pending  -> free      It lost, or its thread ended and somebody wants the place.
 *   live     -> doomed    Its time was over when somebody wanted the place.
 *   doomed   -> live      Somebody looked for its key just then.
 *   doomed   -> clearing  Its time was still over. From here on it belongs to the one thread that makes it zero.
 *   clearing -> free      It is zero.
 *
 * A version in the same words grows with each turn of this wheel, so that none of these steps can be taken on the
 * ground of something that was true before. Only `clearing` needs a certain thread: should it end there, the one that
 * gets its number next goes on (`intent`).
 */
import type { SharedCells } from "../plugin.ts";
import { KeyHash } from "./key-hash.ts";

export interface CellTableSize {
  /** How many cells there is room for; a power of two, up to 2^21. */
  readonly capacity: number;
  /** Payload words of a cell; an even number. */
  readonly cellWords: number;
}

/** Places that a key's cell may be in, one after the other. More where many keys are to fit. */
const WINDOW = 32;
const LARGE_WINDOW = 64;
/** Tables with more places are large: so many of theirs are looked at to tell how full they are... */
const SAMPLE = 65_536;
/** ...of which so many lie together. */
const RUN = 64;
/** Attempts to find or make a cell. Each that fails means that another thread got further. */
const ATTEMPTS = 64;
/** Times are kept in steps of so many milliseconds since the table was made: 31 bits of them are 8 years. */
const STEP_MS = 128;
const MOST_STEPS = 2 ** 31 - 1;
/** Cells stay so much longer than they were asked for: the turn of whoever located it will be over by then. */
const GRACE_STEPS = 32;
/** What a cell gets more than it needs, so that one in constant use is not written to each time. */
const SLACK_STEPS = 8;

/** Words at the beginning of the memory: the secret of the hash, when it was made, and what failed. */
const SECRET = 0;
const EPOCH = 2;
const FULL = 4;
/** A word for each thread: which cell it is clearing, plus one. */
const INTENTS = 8;

/**
 * The words before a cell's payload: 32 bits of the hash, then 16 more with version and state, then when its time is
 * over.
 */
const HEADER = 4;
const LOW = 0;
const HIGH = 1;
const EXPIRY = 2;

const FREE = 0;
const PENDING = 1;
const LIVE = 2;
const DOOMED = 3;
const CLEARING = 4;
const STATE = 0b111;
const VERSION = 0xfff8;
const TAG = ~(STATE | VERSION);

const intentWords = (threads: number): number => Math.ceil((threads + 1) / 2) * 2;

export class CellTable implements SharedCells {
  readonly cellWords: number;
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly doubles: Float64Array<SharedArrayBuffer>;
  readonly longs: BigInt64Array<SharedArrayBuffer>;
  readonly #thread: number;
  readonly #first: number;
  readonly #stride: number;
  readonly #mask: number;
  readonly #window: number;
  readonly #epochMs: number;
  readonly #hash: KeyHash;
  /** To make 64 bits of two words: the same two words, seen as one. */
  readonly #pair = new Int32Array(2);
  readonly #long = new BigInt64Array(this.#pair.buffer);

  /**
   * Makes the memory of a table. Nothing but its head is written to, so it takes up room only as it is used.
   * @param threads how many there are that locate cells, beside the control thread
   */
  static create({ capacity, cellWords }: CellTableSize, threads: number, nowMs: number): SharedArrayBuffer {
    const words = INTENTS + intentWords(threads) + capacity * (HEADER + cellWords);
    const memory = new SharedArrayBuffer(words * 4);
    new Int32Array(memory).set(crypto.getRandomValues(new Int32Array(2)), SECRET);
    new Float64Array(memory)[EPOCH / 2] = nowMs;
    return memory;
  }

  /**
   * @param thread number of the thread that uses it, from 0 to `threads`, the last one for the control thread. No two
   *   threads that run have the same; one that takes the place of another gets the number once the other has ended.
   */
  constructor(memory: SharedArrayBuffer, size: CellTableSize, threads: number, thread: number) {
    this.cellWords = size.cellWords;
    this.words = new Int32Array(memory);
    this.doubles = new Float64Array(memory);
    this.longs = new BigInt64Array(memory);
    this.#thread = thread;
    this.#first = INTENTS + intentWords(threads);
    this.#stride = HEADER + size.cellWords;
    this.#mask = size.capacity - 1;
    this.#window = size.capacity > SAMPLE ? LARGE_WINDOW : WINDOW;
    this.#epochMs = this.doubles[EPOCH / 2]!;
    this.#hash = new KeyHash(this.words[SECRET]!, this.words[SECRET + 1]!);
    this.#finishClearing();
  }

  locate(key: string, ttlMs: number, nowMs: number): number {
    const { words } = this;
    this.#hash.update(key);
    const { low, high } = this.#hash;
    const now = ((nowMs - this.#epochMs) / STEP_MS) | 0;
    const until = untilOf(now, ttlMs);
    const wanted = (high & TAG) | LIVE;
    for (let distance = 0; distance < this.#window; distance++) {
      const cell = this.#place(high, distance);
      const seen = Atomics.load(words, cell + HIGH);
      if ((seen & (TAG | STATE)) !== wanted || Atomics.load(words, cell + LOW) !== low) continue;
      this.#prolong(cell, until);
      // Still so after its time is set: whoever dooms it from now on sees that time before clearing it.
      if (Atomics.load(words, cell + HIGH) === seen) return cell + HEADER;
      break;
    }
    return this.#obtain(low, high, now, until);
  }

  find(key: string, nowMs: number): number {
    const { words } = this;
    this.#hash.update(key);
    const { low, high } = this.#hash;
    const now = ((nowMs - this.#epochMs) / STEP_MS) | 0;
    const wanted = (high & TAG) | LIVE;
    for (let distance = 0; distance < this.#window; distance++) {
      const cell = this.#place(high, distance);
      const seen = Atomics.load(words, cell + HIGH);
      if ((seen & (TAG | STATE)) !== wanted || Atomics.load(words, cell + LOW) !== low) continue;
      if (Atomics.load(words, cell + EXPIRY) < now) return -1;
      this.#prolong(cell, now + GRACE_STEPS);
      return Atomics.load(words, cell + HIGH) === seen ? cell + HEADER : -1;
    }
    return -1;
  }

  prolong(cell: number, ttlMs: number, nowMs: number): void {
    this.#prolong(cell - HEADER, untilOf((nowMs - this.#epochMs) / STEP_MS, ttlMs));
  }

  /** How many locates found no room since the memory was made. */
  get full(): number {
    return Atomics.load(this.words, FULL);
  }

  /**
   * How many cells are live and within their time; in a large table about how many, told by a sample. Takes a
   * millisecond: for those who ask now and then.
   */
  countLive(nowMs: number): number {
    const now = ((nowMs - this.#epochMs) / STEP_MS) | 0;
    const each = Math.max(1, (this.#mask + 1) / SAMPLE);
    let count = 0;
    for (let run = 0; run <= this.#mask; run += RUN * each) {
      for (let i = run; i < run + RUN && i <= this.#mask; i++) {
        const cell = this.#first + i * this.#stride;
        const isLive = (Atomics.load(this.words, cell + HIGH) & STATE) === LIVE;
        if (isLive && Atomics.load(this.words, cell + EXPIRY) >= now) count++;
      }
    }
    return count * each;
  }

  /** Sets these words of every cell to zero. */
  erase(word: number, count: number): void {
    for (let i = 0; i <= this.#mask; i++) {
      const cell = this.#first + i * this.#stride;
      if (Atomics.load(this.words, cell + HIGH) === 0) continue; // never used
      for (let at = cell + HEADER + word; at < cell + HEADER + word + count; at++) {
        if (Atomics.load(this.words, at) !== 0) Atomics.store(this.words, at, 0);
      }
    }
  }

  #place(high: number, distance: number): number {
    return this.#first + ((high + distance) & this.#mask) * this.#stride;
  }

  /** Finds or makes a cell, whatever happens meanwhile. */
  #obtain(low: number, high: number, now: number, until: number): number {
    const { words } = this;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      let found = -1;
      let room = -1;
      let distance = 0;
      for (; distance < this.#window; distance++) {
        const cell = this.#place(high, distance);
        const seen = Atomics.load(words, cell + HIGH);
        if (isOf(seen, high) && Atomics.load(words, cell + LOW) === low) {
          found = cell;
          break;
        }
        if (room === -1 && this.#isRoom(cell, seen, now)) room = cell;
      }
      if (found !== -1) {
        if (this.#take(found, distance, low, high, until)) return found + HEADER;
      } else if (room === -1) break;
      else this.#claim(room, low, high, now);
    }
    Atomics.add(words, FULL, 1);
    return -1;
  }

  #isRoom(cell: number, seen: number, now: number): boolean {
    const state = seen & STATE;
    return state === FREE || (state !== CLEARING && Atomics.load(this.words, cell + EXPIRY) < now);
  }

  /** Gets one step nearer to having the cell for the key; the next look at the window shows how far. */
  #claim(cell: number, low: number, high: number, now: number): void {
    const seen = Atomics.load(this.words, cell + HIGH);
    const itsLow = Atomics.load(this.words, cell + LOW);
    if (!this.#isRoom(cell, seen, now)) return;
    const state = seen & STATE;
    if (state === FREE) {
      // Before it is pending, because one whose time is over is taken for abandoned; and not for long.
      this.#prolong(cell, now + GRACE_STEPS);
      this.#swap(cell, itsLow, seen, low, (high & TAG) | (seen & VERSION) | PENDING);
    } else if (state === PENDING) this.#swap(cell, itsLow, seen, 0, freed(seen));
    else this.#reclaim(cell, itsLow, seen, now);
  }

  /**
   * Makes use of a cell that has the key.
   * @returns false when it has to be looked for again
   */
  #take(cell: number, distance: number, low: number, high: number, until: number): boolean {
    const seen = Atomics.load(this.words, cell + HIGH);
    if (!isOf(seen, high) || Atomics.load(this.words, cell + LOW) !== low) return false;
    if ((seen & STATE) === PENDING) {
      this.#settle(cell, seen, distance, low, high);
      return false;
    }
    this.#prolong(cell, until);
    if ((seen & STATE) === LIVE) return Atomics.load(this.words, cell + HIGH) === seen;
    return this.#swap(cell, low, seen, low, (seen & TAG) | nextVersion(seen) | LIVE);
  }

  /**
   * Makes a pending cell the one of its key, or frees it when there is another with a better claim.
   *
   * Two can never win: of two pending cells of a key, the look around of at least one comes after both were pending,
   * and it does not end before one of them is freed; and who frees a cell changes the very words that its winning
   * would change.
   */
  #settle(cell: number, seen: number, distance: number, low: number, high: number): void {
    for (let i = 0; i < this.#window; i++) {
      if (i === distance) continue;
      const other = this.#place(high, i);
      const itsHigh = Atomics.load(this.words, other + HIGH);
      if (!isOf(itsHigh, high) || Atomics.load(this.words, other + LOW) !== low) continue;
      if ((itsHigh & STATE) !== PENDING || i < distance) {
        this.#swap(cell, low, seen, 0, freed(seen));
        return;
      }
      if (!this.#swap(other, low, itsHigh, 0, freed(itsHigh))) return;
    }
    this.#swap(cell, low, seen, low, (seen & ~STATE) | LIVE);
  }

  /** Frees a cell whose time is over, unless somebody wants it after all. */
  #reclaim(cell: number, low: number, seen: number, now: number): void {
    const { words } = this;
    const doomed = (seen & ~STATE) | DOOMED;
    if (seen !== doomed && !this.#swap(cell, low, seen, low, doomed)) return;
    if (Atomics.load(words, cell + EXPIRY) >= now) return;
    Atomics.store(words, INTENTS + this.#thread, cell + 1);
    const clearing = (seen & VERSION) | CLEARING;
    if (this.#swap(cell, low, doomed, this.#thread, clearing)) this.#clear(cell, clearing);
    Atomics.store(words, INTENTS + this.#thread, 0);
  }

  #clear(cell: number, seen: number): void {
    for (let i = 0; i < this.cellWords; i++) Atomics.store(this.words, cell + HEADER + i, 0);
    this.#swap(cell, this.#thread, seen, 0, freed(seen));
  }

  /** What the thread that had this number before left half-way. */
  #finishClearing(): void {
    const cell = Atomics.load(this.words, INTENTS + this.#thread) - 1;
    if (cell === -1) return;
    const seen = Atomics.load(this.words, cell + HIGH);
    const isMine = (seen & STATE) === CLEARING && Atomics.load(this.words, cell + LOW) === this.#thread;
    if (isMine) this.#clear(cell, seen);
    Atomics.store(this.words, INTENTS + this.#thread, 0);
  }

  /** Sets the end of a cell's time, never to an earlier one. */
  #prolong(cell: number, until: number): void {
    const { words } = this;
    let seen = Atomics.load(words, cell + EXPIRY);
    while (seen < until) {
      const before = Atomics.compareExchange(words, cell + EXPIRY, seen, until + SLACK_STEPS);
      if (before === seen) return;
      seen = before;
    }
  }

  /** Changes the first two words of a cell together, if they are as expected. */
  #swap(cell: number, low: number, high: number, newLow: number, newHigh: number): boolean {
    const expected = this.#longOf(low, high);
    const replacement = this.#longOf(newLow, newHigh);
    return Atomics.compareExchange(this.longs, cell >> 1, expected, replacement) === expected;
  }

  #longOf(low: number, high: number): bigint {
    this.#pair[LOW] = low;
    this.#pair[HIGH] = high;
    return this.#long[0]!;
  }
}

/** When the time of a cell is over that is located now, in steps. */
const untilOf = (now: number, ttlMs: number): number =>
  Math.min(now + ttlMs / STEP_MS + GRACE_STEPS, MOST_STEPS - SLACK_STEPS) | 0;

/** True when the word says that the cell is for a hash with this upper half. */
function isOf(seen: number, high: number): boolean {
  const state = seen & STATE;
  return ((seen ^ high) & TAG) === 0 && state !== FREE && state !== CLEARING;
}

const nextVersion = (seen: number): number => (seen + STATE + 1) & VERSION;

/** The word of a free cell that was something else. */
const freed = (seen: number): number => nextVersion(seen) | FREE;
