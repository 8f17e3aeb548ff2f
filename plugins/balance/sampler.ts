/** Random choice by weight in constant time: the alias method, as Vose prepares it. */

export class Sampler {
  readonly #count: number;
  readonly #random: () => number;
  /** For each index the share of its slot that is its own, and to whom the rest belongs; undefined for equal weights. */
  #own: Float64Array | undefined;
  #alias: Uint32Array | undefined;

  /** @param random gives numbers from 0 up to 1 */
  constructor(weights: readonly number[], random: () => number) {
    this.#count = weights.length;
    this.#random = random;
    if (weights.some((weight) => weight !== weights[0])) this.#prepare(weights);
  }

  /** An index, as often as its weight says. */
  sample(): number {
    const at = this.#random() * this.#count;
    const slot = Math.floor(at);
    return this.#own === undefined || at - slot < this.#own[slot]! ? slot : this.#alias![slot]!;
  }

  /**
   * A second index beside the first; as often as its weight says. The same again when the first has nearly all
   * weight: a light one is not worth asking each time.
   */
  sampleOther(first: number): number {
    if (this.#own === undefined) {
      const slot = Math.floor(this.#random() * (this.#count - 1));
      return this.#count === 1 ? first : slot + (slot >= first ? 1 : 0);
    }
    for (let i = 0; i < TRIES; i++) {
      const other = this.sample();
      if (other !== first) return other;
    }
    return first;
  }

  #prepare(weights: readonly number[]): void {
    const count = weights.length;
    const mean = weights.reduce((sum, weight) => sum + weight, 0) / count;
    const own = Float64Array.from(weights, (weight) => weight / mean);
    const alias = Uint32Array.from(weights, (_, i) => i);
    const less: number[] = [];
    const more: number[] = [];
    for (const [i, share] of own.entries()) (share < 1 ? less : more).push(i);
    while (less.length > 0 && more.length > 0) {
      const small = less.pop()!;
      const large = more.at(-1)!;
      alias[small] = large;
      own[large]! -= 1 - own[small]!;
      if (own[large]! < 1) less.push(more.pop()!);
    }
    // What rounding left over are aliases of themselves.
    this.#own = own;
    this.#alias = alias;
  }
}

const TRIES = 4;
