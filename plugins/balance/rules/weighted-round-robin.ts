/**
 * Smooth weighted round-robin, the same sequence as nginx's: each target gains its weight with every pick, the one
 * with most is picked and pays the sum of all weights.
 *
 * Targets of one weight always take turns among themselves. So only the next of each weight needs a credit, and a
 * pick costs as many steps as there are different weights: one when all are equal.
 */
import type { Host, Target, Upstream } from "../../../core/plugin.ts";
import { PreparedRule } from "../pick-rule.ts";

/** Credits of targets, by id, as shares of one pick. */
type Credits = Map<string, number>;

/** The rule that was prepared last: the next generation's goes on where it stands. */
interface Turns {
  last: WeightedRoundRobin | undefined;
}

export class WeightedRoundRobin extends PreparedRule {
  readonly #turns: Turns;
  #total = 0;
  /** By different weight: the weight, the credit of its next member, its members' indices, whose turn it is. */
  #weights = new Float64Array(0);
  #credits = new Float64Array(0);
  #members: Uint32Array[] = [];
  #next = new Uint32Array(0);

  constructor(upstream: Upstream, host: Host) {
    super(upstream);
    this.#turns = host.keep(`balance weighted-round-robin ${upstream.name}`, () => ({ last: undefined }));
  }

  protected prepare(eligible: readonly Target[]): void {
    const { last } = this.#turns;
    const before: Credits = last === undefined ? new Map() : last.#show();
    this.#turns.last = this;
    const mean = eligible.reduce((sum, { id }) => sum + (before.get(id) ?? 0), 0) / (eligible.length || 1);
    const groups = Map.groupBy(eligible.keys(), (i) => eligible[i]!.weight);
    this.#total = eligible.reduce((sum, { weight }) => sum + weight, 0);
    this.#weights = Float64Array.from(groups.keys());
    this.#credits = new Float64Array(groups.size);
    this.#next = new Uint32Array(groups.size);
    this.#members = [...groups.values()].map((indices, group) => {
      const credits = indices.map((i) => (before.get(eligible[i]!.id) ?? 0) - mean);
      const most = credits.reduce((a, b) => Math.max(a, b));
      // Those that had their turn in this round stand before the others, as if it had happened here.
      const had = indices.filter((_, k) => credits[k]! < most - 0.5);
      const left = indices.filter((_, k) => credits[k]! >= most - 0.5);
      const sum = credits.reduce((a, b) => a + b) + had.length;
      this.#next[group] = had.length;
      this.#credits[group] = withoutNoise((sum / indices.length) * this.#total);
      return Uint32Array.from([...had, ...left]);
    });
  }

  protected choose(): number {
    const credits = this.#credits;
    const weights = this.#weights;
    const count = credits.length; // read once: it halves the time of the loop
    let best = 0;
    let most = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < count; i++) {
      const credit = credits[i]! + weights[i]!;
      credits[i] = credit;
      if (credit > most || (credit === most && this.#nextOf(i) < this.#nextOf(best))) {
        best = i;
        most = credit;
      }
    }
    const picked = this.#nextOf(best);
    if (++this.#next[best]! === this.#members[best]!.length) {
      this.#next[best] = 0;
      credits[best]! -= this.#total;
    }
    return picked;
  }

  #nextOf(group: number): number {
    return this.#members[group]![this.#next[group]!]!;
  }

  /** The credits of all targets as they are now. */
  #show(): Credits {
    const all: Credits = new Map();
    for (const [group, members] of this.#members.entries()) {
      const credit = this.#credits[group]! / this.#total;
      for (const [turn, i] of members.entries()) {
        all.set(this.targets[i]!.id, turn < this.#next[group]! ? credit - 1 : credit);
      }
    }
    return all;
  }
}

/** What was a whole number before it was divided and multiplied is one again: ties must stay ties. */
function withoutNoise(credit: number): number {
  return Math.round(credit * 1e6) / 1e6;
}
