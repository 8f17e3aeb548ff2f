/** Decides which branch a request goes to. */
import type { Exchange } from "../../core/plugin.ts";
import type { Branch } from "./branch.ts";

/** Gives a number from 0 up to 1 for an exchange, the same one for the same key; undefined when it has no key. */
type PlaceOf = (x: Exchange) => number | undefined;

export class Chooser {
  /** Branches with a condition; the first that holds takes the request. */
  readonly #conditional: readonly Branch[];
  /** Branches with a weight, and where the range of each ends between 0 and 1. */
  readonly #weighted: readonly Branch[];
  readonly #ends: readonly number[];
  readonly #placeOf: PlaceOf;
  readonly #random: () => number;

  /** @param branches in their order; at least one has a weight */
  constructor(branches: readonly Branch[], placeOf: PlaceOf, random: () => number) {
    this.#conditional = branches.filter(({ when }) => when !== undefined);
    this.#weighted = branches.filter(({ weight }) => weight > 0);
    this.#placeOf = placeOf;
    this.#random = random;
    const total = this.#weighted.reduce((sum, { weight }) => sum + weight, 0);
    let end = 0;
    this.#ends = this.#weighted.map(({ weight }) => (end += weight) / total);
  }

  /** The branch whose condition holds. */
  byCondition(x: Exchange): Branch | undefined {
    for (const branch of this.#conditional) if (branch.when!(x)) return branch;
    return undefined;
  }

  /** The branch of a name, if it has a weight: one without takes nobody but by its condition. */
  byName(name: string): Branch | undefined {
    for (const branch of this.#weighted) if (branch.name === name) return branch;
    return undefined;
  }

  /** A branch according to the weights: by the key of the exchange, or by chance. */
  byWeight(x: Exchange): Branch {
    const place = this.#placeOf(x) ?? this.#random();
    const last = this.#weighted.length - 1;
    for (let i = 0; i < last; i++) if (place < this.#ends[i]!) return this.#weighted[i]!;
    return this.#weighted[last]!;
  }
}
