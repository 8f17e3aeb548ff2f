/**
 * How often each of many hashes came lately, about, in half a word each: a count-min sketch (Cormode and Muthukrishnan
 * 2005) of counters up to 15, all of which are halved once so many came (TinyLFU: Einziger, Friedman and Manes 2017).
 * It never says too little, but for the halving.
 */

const MOST = 15;
const LEAST_WORDS = 256;
const MOST_WORDS = 2 ** 22;
/** Counters are halved once so many came for each word. */
const SAMPLE = 10;
/** What counts a hash is the least of one counter of each row. All rows of a hash lie together: 64 bytes. */
const ROWS = 4;
const ROW_WORDS = 4;
const BLOCK_WORDS = ROWS * ROW_WORDS;
/** Makes another hash of a hash: where in their rows its counters are. */
const SECOND = 0x3c6ef372;

export class FrequencySketch {
  #words = new Int32Array(LEAST_WORDS);
  #came = 0;

  /** Makes room for so many hashes. What was counted stays. */
  grow(hashes: number): void {
    while (hashes > this.#words.length && this.#words.length < MOST_WORDS) {
      const words = new Int32Array(2 * this.#words.length);
      words.set(this.#words);
      words.set(this.#words, this.#words.length); // a hash finds its block in either half
      this.#words = words;
    }
  }

  add(hash: number): void {
    const words = this.#words;
    let row = this.#blockOf(hash);
    let bits = mix(hash ^ SECOND);
    let counted = false;
    for (let i = 0; i < ROWS; i++) {
      const word = row + (bits & 3);
      const shift = bits & 28;
      if (((words[word]! >>> shift) & MOST) !== MOST) {
        words[word]! += 1 << shift;
        counted = true;
      }
      row += ROW_WORDS;
      bits >>>= 5;
    }
    if (counted && ++this.#came >= SAMPLE * words.length) this.#halve();
  }

  /** From 0 to 15. */
  estimate(hash: number): number {
    let row = this.#blockOf(hash);
    let bits = mix(hash ^ SECOND);
    let least = MOST;
    for (let i = 0; i < ROWS; i++) {
      const counter = (this.#words[row + (bits & 3)]! >>> (bits & 28)) & MOST;
      if (counter < least) least = counter;
      row += ROW_WORDS;
      bits >>>= 5;
    }
    return least;
  }

  #blockOf(hash: number): number {
    return Math.imul(mix(hash), BLOCK_WORDS) & (this.#words.length - 1);
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
