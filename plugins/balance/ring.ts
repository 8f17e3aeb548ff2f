/**
 * A hash ring: each target has points on a circle of 32 bits, as many as its weight says, and what is hashed belongs
 * to the next point. A target's points depend on its name and weight alone, so that all gateways agree, and when a
 * target leaves only what belonged to it moves.
 */
import type { Target } from "../../core/plugin.ts";

/** Points of a target for each unit of weight; halved until all targets together have at most {@link MAX_POINTS}. */
const POINTS = 256;
const MAX_POINTS = 131_072;

export class Ring {
  /** Where the points are, ascending, and the index of the target that each belongs to. */
  readonly #points: Uint32Array;
  readonly owners: Uint32Array;
  /** By the first bits of a hash: index of the first point that starts with them or is after them. */
  readonly #starts: Uint32Array;
  readonly #shift: number;

  /**
   * @param eligible targets that have points
   * @param all targets there are: those that are away for a while must not change the points of the others
   */
  constructor(eligible: readonly Target[], all: readonly Target[]) {
    const scale = scaleFor(all.reduce((sum, { weight }) => sum + weight, 0));
    const counts = eligible.map(({ weight }) => Math.max(1, Math.round(weight * scale)));
    const size = counts.reduce((sum, count) => sum + count, 0);
    this.#points = new Uint32Array(size);
    this.owners = new Uint32Array(size);
    // As many parts as points, at least two: then sorting into parts leaves little to do.
    this.#shift = Math.clz32(Math.max(1, size - 1));
    this.#starts = new Uint32Array(2 ** (32 - this.#shift) + 1);
    this.#fill(eligible, counts);
    this.#sort();
  }

  /** Index of the first point at or after a hash: in {@link owners}, which must not be empty. */
  locate(position: number): number {
    const points = this.#points;
    let at = this.#starts[position >>> this.#shift]!;
    while (at < points.length && points[at]! < position) at++;
    return at === points.length ? 0 : at;
  }

  /** Indices of all targets, each once, in the order in which they follow a point. */
  *from(start: number): Generator<number> {
    const seen = new Set<number>();
    for (let i = 0; i < this.owners.length; i++) {
      const owner = this.owners[(start + i) % this.owners.length]!;
      if (seen.has(owner)) continue;
      seen.add(owner);
      yield owner;
    }
  }

  /** Puts every point into its part of the circle. */
  #fill(eligible: readonly Target[], counts: readonly number[]): void {
    const starts = this.#starts;
    const shift = this.#shift;
    const hashes = new Uint32Array(this.#points.length);
    let made = 0;
    for (const [i, { id }] of eligible.entries()) {
      const first = hash(id);
      const step = mix(first ^ 0x9e3779b9) | 1;
      for (let k = 0; k < counts[i]!; k++) {
        const point = mix(first + Math.imul(k, step));
        hashes[made++] = point;
        starts[(point >>> shift) + 1]!++;
      }
    }
    for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!;
    const next = starts.slice();
    let taken = 0;
    for (const [i, count] of counts.entries()) {
      for (const end = taken + count; taken < end; taken++) {
        const at = next[hashes[taken]! >>> shift]!++;
        this.#points[at] = hashes[taken]!;
        this.owners[at] = i;
      }
    }
  }

  /** Sorts within the parts, by insertion: there are few in each. */
  #sort(): void {
    const points = this.#points;
    const { owners } = this;
    for (let i = 1; i < points.length; i++) {
      const point = points[i]!;
      const owner = owners[i]!;
      let at = i;
      for (; at > 0 && points[at - 1]! > point; at--) {
        points[at] = points[at - 1]!;
        owners[at] = owners[at - 1]!;
      }
      points[at] = point;
      owners[at] = owner;
    }
  }
}

/** In steps of two, so that a target more or less changes it seldom. */
function scaleFor(weight: number): number {
  let scale = POINTS;
  while (scale * weight > MAX_POINTS) scale /= 2;
  return scale;
}

/** A hash of 32 bits (FNV-1a, then mixed). */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return mix(h);
}

/** Spreads what differs little over all 32 bits: the last step of MurmurHash3. */
function mix(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
