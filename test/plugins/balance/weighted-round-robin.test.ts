import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FakeHost, FakeUpstream } from "../../support/harness.ts";
import { countPicks, equal, ids, ruleOf, sum, upstreamOf } from "./picks.ts";

const weighted = { strategy: "weighted-round-robin" } as const;
const weights = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 12 });

/** nginx's algorithm as it is told in books. */
function* smooth(weights: readonly number[]): Generator<number> {
  const credits = weights.map(() => 0);
  const total = sum(weights);
  for (;;) {
    for (const [i, weight] of weights.entries()) credits[i]! += weight;
    const best = credits.indexOf(Math.max(...credits));
    credits[best]! -= total;
    yield best;
  }
}

const firstOf = (sequence: Generator<number>, count: number): string[] =>
  Array.from({ length: count }, () => `t${sequence.next().value}`);

describe("weighted round-robin", () => {
  it("spreads the turns of a heavy target among those of light ones", () => {
    const rule = ruleOf(upstreamOf([5, 1, 1]), weighted);
    expect(ids(rule, 7).join(" ")).toBe("t0 t0 t1 t0 t2 t0 t0");
  });

  it("gives nginx's sequence for any weights", () => {
    fc.assert(
      fc.property(weights, (weights) => {
        const count = 3 * sum(weights);
        expect(ids(ruleOf(upstreamOf(weights), weighted), count)).toEqual(firstOf(smooth(weights), count));
      }),
    );
  });

  it("gives every target exactly its share in a period, wherever the period begins", () => {
    fc.assert(
      fc.property(weights, fc.nat(50), (weights, before) => {
        const upstream = upstreamOf(weights);
        const rule = ruleOf(upstream, weighted);
        ids(rule, before);
        expect(countPicks(upstream, rule, sum(weights))).toEqual(weights);
      }),
    );
  });

  it("is never more than one pick ahead of a target's share", () => {
    fc.assert(
      fc.property(weights, (weights) => {
        const upstream = upstreamOf(weights);
        const rule = ruleOf(upstream, weighted);
        const counts = weights.map(() => 0);
        for (let picks = 1; picks <= 2 * sum(weights); picks++) {
          counts[Number(ids(rule, 1)[0]!.slice(1))]!++;
          for (const [i, weight] of weights.entries()) {
            expect(counts[i]! - (picks * weight) / sum(weights)).toBeLessThanOrEqual(1);
          }
        }
      }),
    );
  });

  it("takes weights that are not whole, as slow start makes them", () => {
    const upstream = upstreamOf([1, 1 / 21, 0.5]);
    const counts = countPicks(upstream, ruleOf(upstream, weighted), 6500);
    for (const [i, share] of [21 / 32.5, 1 / 32.5, 10.5 / 32.5].entries()) {
      expect(Math.abs(counts[i]! - share * 6500)).toBeLessThanOrEqual(1);
    }
  });

  it("goes on where it stands when the upstream says that something changed and nothing did", () => {
    fc.assert(
      fc.property(weights, fc.nat(40), (weights, before) => {
        const upstream = upstreamOf(weights);
        const rule = ruleOf(upstream, weighted);
        const expected = smooth(weights);
        expect(ids(rule, before)).toEqual(firstOf(expected, before));
        for (let i = 0; i < sum(weights); i++) {
          upstream.version++;
          expect(ids(rule, 1)).toEqual(firstOf(expected, 1));
        }
      }),
    );
  });

  it("follows a weight that changes", () => {
    const upstream = upstreamOf([1, 1]);
    const rule = ruleOf(upstream, weighted);
    expect(countPicks(upstream, rule, 4)).toEqual([2, 2]);
    upstream.weigh(3, 1);
    expect(countPicks(upstream, rule, 4)).toEqual([3, 1]);
  });

  it("is fair also when the set of targets changes all the time", () => {
    const upstream = upstreamOf(equal(4));
    const rule = ruleOf(upstream, weighted);
    const [a, b, c, d] = upstream.targets as [never, never, never, never];
    const counts = { t0: 0, t1: 0, t2: 0, t3: 0 };
    for (let i = 0; i < 400; i++) {
      upstream.eligible = i % 2 === 0 ? [a, b, c, d] : [a, b, c];
      counts[ids(rule, 1)[0] as keyof typeof counts]++;
    }
    expect(
      Math.max(counts.t0, counts.t1, counts.t2) - Math.min(counts.t0, counts.t1, counts.t2),
    ).toBeLessThan(5);
  });

  it("goes on with the turns of the generation before", () => {
    const host = new FakeHost();
    const before = ruleOf(upstreamOf([5, 1, 1]), weighted, host);
    const expected = smooth([5, 1, 1]);
    expect(ids(before, 3)).toEqual(firstOf(expected, 3));
    const after = ruleOf(upstreamOf([5, 1, 1]), weighted, host);
    expect(ids(after, 18)).toEqual(firstOf(expected, 18));
  });

  it("takes turns together for all routes of an upstream", () => {
    const host = new FakeHost();
    const upstream = upstreamOf([2, 1]);
    const [one, two] = [ruleOf(upstream, weighted, host), ruleOf(upstream, weighted, host)];
    const other = ruleOf(new FakeUpstream("other", ["x"]), weighted, host);
    expect([...ids(one, 1), ...ids(two, 1), ...ids(other, 1), ...ids(one, 1)]).toEqual([
      "t0",
      "t1",
      "x",
      "t0",
    ]);
  });
});
