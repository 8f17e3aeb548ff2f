import { describe, expect, it } from "vitest";
import { hash, Ring } from "../../../plugins/balance/ring.ts";
import { equal, sum, upstreamOf } from "./picks.ts";

const ringOf = (weights: readonly number[]): Ring => {
  const { targets, eligible } = upstreamOf(weights);
  return new Ring(eligible, targets);
};

/** Share of the circle that belongs to each target. */
function shares(ring: Ring, count: number): number[] {
  const steps = 200_000;
  const counts = new Float64Array(count);
  for (let i = 0; i < steps; i++)
    counts[ring.owners[ring.locate((i + 0.5) * (2 ** 32 / steps))]!]! += 1 / steps;
  return [...counts];
}

describe("a ring", () => {
  it("gives every target its share of the circle, nearly", () => {
    for (const [weights, tolerance] of [
      [equal(3), 0.2],
      [equal(10), 0.2],
      [equal(100), 0.3],
      [equal(1000), 0.5],
      [[1, 2, 3, 4], 0.2],
      [[1, 1 / 21], 0.6],
      [[100, 100, 300], 0.1],
    ] as const) {
      const all = shares(ringOf(weights), weights.length);
      for (const [i, weight] of weights.entries()) {
        expect(Math.abs(all[i]! / (weight / sum(weights)) - 1)).toBeLessThan(tolerance);
      }
    }
  });

  it("has no more points than memory allows, and every target at least one", () => {
    expect(ringOf(equal(10)).owners.length).toBe(2560);
    expect(ringOf(equal(1000)).owners.length).toBeLessThanOrEqual(131_072);
    expect(ringOf(Array(1000).fill(10_000)).owners.length).toBeLessThanOrEqual(131_072);
    expect(new Set(ringOf([10_000, 10_000, 1e-6]).owners).size).toBe(3);
  });

  it("finds the first point at or after a hash, and begins anew at the end", () => {
    const ring = ringOf(equal(5));
    const positions = Array.from({ length: 5000 }, (_, i) => hash(`position ${i}`)).toSorted((a, b) => a - b);
    const found = positions.map((position) => ring.locate(position));
    const last = found.lastIndexOf(ring.owners.length - 1);
    expect(found.slice(0, last + 1)).toEqual(found.slice(0, last + 1).toSorted((a, b) => a - b));
    expect(new Set(found.slice(last + 1))).toEqual(new Set([0]));
    expect(new Set(found).size).toBeGreaterThan(ring.owners.length / 2);
    const one = ringOf([1]);
    expect([one.locate(0), one.locate(2 ** 32 - 1)]).toEqual([0, 0]);
  });

  it("does not depend on the order of targets", () => {
    const { targets } = upstreamOf(equal(5));
    const turned = targets.toReversed();
    const [one, two] = [new Ring(targets, targets), new Ring(turned, turned)];
    for (let i = 0; i < 500; i++) {
      const position = hash(`key ${i}`);
      expect(turned[two.owners[two.locate(position)]!]).toBe(targets[one.owners[one.locate(position)]!]);
    }
  });

  it("lists every target once, from a point on", () => {
    const ring = ringOf(equal(7));
    const start = ring.locate(hash("a"));
    const order = [...ring.from(start)];
    expect(order[0]).toBe(ring.owners[start]);
    expect(order.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});

describe("the hash", () => {
  it("is a whole number of 32 bits, spread over all of them", () => {
    const buckets = new Uint32Array(16);
    for (let i = 0; i < 16_000; i++) {
      const value = hash(`10.0.${i >> 8}.${i & 255}`);
      expect(Number.isInteger(value) && value >= 0 && value < 2 ** 32).toBe(true);
      buckets[value >>> 28]!++;
    }
    for (const count of buckets) expect(Math.abs(count - 1000)).toBeLessThan(200);
  });
});
