import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Sampler } from "../../../plugins/balance/sampler.ts";
import { countPicks, equal, ids, pick, ruleOf, SeededHost, sum, upstreamOf } from "./picks.ts";

const weights = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 10 });

/** Expects counts by weight, within five standard deviations. */
function expectShares(counts: readonly number[], weights: readonly number[]): void {
  const picks = sum(counts);
  for (const [i, weight] of weights.entries()) {
    const share = weight / sum(weights);
    const tolerance = 5 * Math.sqrt(picks * share * (1 - share)) + 1;
    expect(Math.abs(counts[i]! - picks * share)).toBeLessThan(tolerance);
  }
}

describe.each(["random", "power-of-two-choices", "ewma"] as const)("%s", (strategy) => {
  it("picks idle targets as often as their weights say", () => {
    fc.assert(
      fc.property(weights, fc.integer(), (weights, seed) => {
        const upstream = upstreamOf(weights);
        const rule = ruleOf(upstream, { strategy }, new SeededHost(seed));
        expectShares(countPicks(upstream, rule, 3000), weights);
      }),
      { numRuns: 50 },
    );
  });

  it("follows a weight that changes", () => {
    const upstream = upstreamOf(equal(2));
    const rule = ruleOf(upstream, { strategy });
    ids(rule, 5);
    upstream.weigh(9, 1);
    expectShares(countPicks(upstream, rule, 3000), [9, 1]);
  });
});

describe("the alias method", () => {
  it("has exactly the shares of the weights", () => {
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: Math.fround(0.01), max: 100, noNaN: true }), {
          minLength: 1,
          maxLength: 30,
        }),
        (weights) => {
          const steps = 2000;
          let at = 0;
          const sampler = new Sampler(weights, () => at);
          const counts = weights.map(() => 0);
          for (let i = 0; i < steps * weights.length; i++) {
            at = (i + 0.5) / (steps * weights.length);
            counts[sampler.sample()]!++;
          }
          for (const [i, weight] of weights.entries()) {
            const share = weight / sum(weights);
            expect(Math.abs(counts[i]! / (steps * weights.length) - share)).toBeLessThan(1 / steps + 1e-9);
          }
        },
      ),
    );
  });

  it("gives another index second, unless the first has nearly all weight or is alone", () => {
    const host = new SeededHost();
    const even = new Sampler([1, 1, 1], () => host.random());
    const uneven = new Sampler([2, 1, 1], () => host.random());
    let same = 0;
    for (let i = 0; i < 1000; i++) {
      expect(even.sampleOther(i % 3)).not.toBe(i % 3);
      if (uneven.sampleOther(0) === 0) same++;
    }
    expect(same / 1000).toBeLessThan(0.1); // (1/2)^4
    expect(new Sampler([1], () => host.random()).sampleOther(0)).toBe(0);
    expect(new Sampler([1e9, 1], () => host.random()).sampleOther(0)).toBe(0);
  });

  it("gives every other index second equally often", () => {
    const host = new SeededHost();
    const sampler = new Sampler(equal(4), () => host.random());
    const counts = equal(4).map(() => 0);
    for (let i = 0; i < 3000; i++) counts[sampler.sampleOther(1)]!++;
    expect(counts[1]).toBe(0);
    expectShares([counts[0]!, counts[2]!, counts[3]!], [1, 1, 1]);
  });
});

describe("power of two choices", () => {
  const choices = { strategy: "power-of-two-choices" } as const;

  it("takes the less busy one of two", () => {
    const upstream = upstreamOf(equal(2));
    const rule = ruleOf(upstream, choices);
    upstream.targets[0]!.inFlight = 3;
    upstream.targets[1]!.inFlight = 2;
    expect(new Set(ids(rule, 100))).toEqual(new Set(["t1"]));
  });

  it("weighs how busy they are", () => {
    const upstream = upstreamOf([3, 2]);
    const rule = ruleOf(upstream, choices);
    upstream.targets[0]!.inFlight = 30;
    upstream.targets[1]!.inFlight = 21;
    const [first, second] = countPicks(upstream, rule, 1000) as [number, number];
    expect(first).toBeGreaterThan(20 * second);
  });

  it("keeps requests that stay under way near their shares", () => {
    const upstream = upstreamOf([3, 1, 2, 2]);
    const rule = ruleOf(upstream, choices);
    for (let i = 0; i < 800; i++) pick(rule).inFlight++;
    for (const { inFlight, weight } of upstream.targets) {
      expect(Math.abs(inFlight / (100 * weight) - 1)).toBeLessThan(0.1);
    }
  });
});

describe("ewma", () => {
  const ewma = { strategy: "ewma" } as const;
  const pair = (one: object, two: object, weights = [1, 1]) => {
    const upstream = upstreamOf(weights);
    Object.assign(upstream.targets[0]!, one);
    Object.assign(upstream.targets[1]!, two);
    return countPicks(upstream, ruleOf(upstream, ewma), 500);
  };

  it("takes the faster one of two", () => {
    expect(pair({ latencyMs: 20 }, { latencyMs: 10 })).toEqual([0, 500]);
  });

  it("multiplies the latency with the requests that a target would have", () => {
    expect(pair({ latencyMs: 20, inFlight: 1 }, { latencyMs: 10, inFlight: 4 })).toEqual([500, 0]);
    expect(pair({ latencyMs: 20, inFlight: 1 }, { latencyMs: 10, inFlight: 2 })).toEqual([0, 500]);
  });

  it("expects a target of twice the weight to bear twice the requests", () => {
    const [heavy, light] = pair({ latencyMs: 10, inFlight: 6 }, { latencyMs: 10, inFlight: 4 }, [2, 1]);
    expect(heavy).toBeGreaterThan(10 * light!);
  });

  it("tries a target that has not answered yet, but with one request only", () => {
    expect(pair({ latencyMs: 0 }, { latencyMs: 10 })).toEqual([500, 0]);
    expect(pair({ latencyMs: 0, inFlight: 1 }, { latencyMs: 10, inFlight: 50 })).toEqual([0, 500]);
  });
});
