/**
 * How often each of many hashes came lately, about, in half a word each: a count-min sketch (Cormode and Muthukrishnan
 * 2005) of counters up to 15, all of which are halved once so many came (TinyLFU: Einziger, Friedman and Manes 2017).
 * It never says too little, but for the halving.
 */

const COUNTERS_PER_WORD = 8;
const MOST = 15;
const LEAST_WORDS = 256;
const MOST_WORDS = 2 ** 22;
/** Counters are halved once so many came for each word. */
const SAMPLE = 10;
/** Each makes another hash of a hash: what it counts is the least of four counters. */
const ROWS = [0x3c6ef372, 0x1b873593, 0x5851f42d, 0x27d4eb2f] as const;

export class FrequencySketch {
  #words = new Int32Array(LEAST_WORDS);
  #came = 0;

  /** Makes room for so many hashes. What was counted stays. */
  grow(hashes: number): void {
    while (hashes > this.#words.length && this.#words.length < MOST_WORDS) {
      const words = new Int32Array(2 * this.#words.length);
      words.set(this.#words);
      words.set(this.#words, this.#words.length); // a hash finds its counters in either half
      this.#words = words;
    }
  }

  add(hash: number): void {
    const words = this.#words;
    let counted = false;
    for (let i = 0; i < ROWS.length; i++) {
      const row = mix(hash ^ ROWS[i]!);
      const word = row & (words.length - 1);
      const shift = (row >>> 29) * (32 / COUNTERS_PER_WORD);
      if (((words[word]! >>> shift) & MOST) === MOST) continue;
      words[word]! += 1 << shift;
      counted = true;
    }
    if (counted && ++this.#came >= SAMPLE * words.length) this.#halve();
  }

  /** From 0 to 15. */
  estimate(hash: number): number {
    const words = this.#words;
    let least = MOST;
    for (let i = 0; i < ROWS.length; i++) {
      const row = mix(hash ^ ROWS[i]!);
      const counter = (words[row & (words.length - 1)]! >>> ((row >>> 29) * (32 / COUNTERS_PER_WORD))) & MOST;
      if (counter < least) least = counter;
    }
    return least;
  }

  #halve(): void {
    const words = this.#words;
    for (let i = 0; i < words.length; i++) words[i] = (words[i]! >>> 1) & 0x77777777;
    this.#came >>>= 1;
  }
}

/** The finalizer of MurmurHash3: each bit of it depends on all bits of what goes in. */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
