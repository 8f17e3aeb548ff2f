/**
 * The target with the fewest requests under way for its weight; among equals they take turns by weight.
 *
 * Up to {@link BLOCK} targets are all looked at for each pick. More are looked at block by block: the best of each
 * is remembered and asked again, and the blocks are gone through in turn. So a pick costs little with 1,000
 * targets too; that a target has become idle may be seen some picks later.
 */
import type { Target } from "../../../core/plugin.ts";
import { PreparedRule } from "../pick-rule.ts";

const BLOCK = 64;

export class LeastConnections extends PreparedRule {
  /** By index: one through the weight. */
  #shares = new Float64Array(0);
  /**
   * By index: when its next turn among equals is. Each pick puts it off by the share. Turns that were missed are
   * not made up for: none is before `#now`.
   */
  #turns = new Float64Array(0);
  #now = 0;
  /** By block: index of the best when it was last looked at. */
  #best = new Uint32Array(0);
  /** The block to look at next in turn, and that of the last pick, whose best is another by now. */
  #block = 0;
  #picked = 0;

  protected prepare(eligible: readonly Target[]): void {
    const turns = new Map(this.targets.map(({ id }, i) => [id, this.#turns[i]!]));
    this.#shares = Float64Array.from(eligible, ({ weight }) => 1 / weight);
    this.#turns = Float64Array.from(eligible, ({ id }) => turns.get(id) ?? this.#now);
    this.#best = new Uint32Array(Math.ceil(eligible.length / BLOCK));
    this.#block = 0;
    this.#picked = 0;
    for (const block of this.#best.keys()) this.#look(block, eligible);
  }

  protected choose(): number {
    const { targets } = this;
    const best = this.#best;
    this.#look(this.#picked, targets);
    if (best.length > 1) {
      this.#block = (this.#block + 1) % best.length;
      this.#look(this.#block, targets);
    }
    let picked = best[0]!;
    let load = this.#loadOf(targets[picked]!, picked);
    for (let block = 1; block < best.length; block++) {
      const i = best[block]!;
      const other = this.#loadOf(targets[i]!, i);
      if (other > load || (other === load && this.#turnOf(i) >= this.#turnOf(picked))) continue;
      picked = i;
      load = other;
    }
    this.#now = this.#turnOf(picked);
    this.#turns[picked] = this.#now + this.#shares[picked]!;
    this.#picked = Math.floor(picked / BLOCK);
    return picked;
  }

  /** Finds the best of a block. */
  #look(block: number, targets: readonly Target[]): void {
    const start = block * BLOCK;
    const end = Math.min(start + BLOCK, targets.length);
    let best = start;
    let load = Number.POSITIVE_INFINITY;
    for (let i = start; i < end; i++) {
      const other = this.#loadOf(targets[i]!, i);
      if (other > load || (other === load && this.#turnOf(i) >= this.#turnOf(best))) continue;
      best = i;
      load = other;
    }
    this.#best[block] = best;
  }

  #loadOf(target: Target, i: number): number {
    return target.inFlight * this.#shares[i]!;
  }

  #turnOf(i: number): number {
    return Math.max(this.#turns[i]!, this.#now);
  }
}
