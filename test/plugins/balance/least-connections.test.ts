import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { countPicks, equal, ids, pick, ruleOf, upstreamOf } from "./picks.ts";

const least = { strategy: "least-connections" } as const;

describe("least connections", () => {
  it("picks a target with the fewest requests under way for its weight", () => {
    const targets = fc.array(fc.record({ inFlight: fc.nat(20), weight: fc.integer({ min: 1, max: 5 }) }), {
      minLength: 1,
      maxLength: 64,
    });
    fc.assert(
      fc.property(targets, fc.nat(10), (states, before) => {
        const upstream = upstreamOf(states.map(({ weight }) => weight));
        const rule = ruleOf(upstream, least);
        ids(rule, before);
        for (const [i, { inFlight }] of states.entries()) upstream.targets[i]!.inFlight = inFlight;
        const lowest = Math.min(...states.map(({ inFlight, weight }) => inFlight / weight));
        const picked = pick(rule);
        expect(picked.inFlight / picked.weight).toBeCloseTo(lowest, 9);
      }),
    );
  });

  it("gives idle targets turns by weight", () => {
    const upstream = upstreamOf([3, 1, 2]);
    expect(countPicks(upstream, ruleOf(upstream, least), 600)).toEqual([300, 100, 200]);
  });

  it("does not make up for turns that a busy target missed", () => {
    const upstream = upstreamOf(equal(2));
    const rule = ruleOf(upstream, least);
    upstream.targets[0]!.inFlight = 10;
    expect(new Set(ids(rule, 1000))).toEqual(new Set(["t1"]));
    upstream.targets[0]!.inFlight = 0;
    const [first, second] = countPicks(upstream, rule, 10) as [number, number];
    expect(Math.abs(first - second)).toBeLessThanOrEqual(2);
  });

  it("keeps requests that stay under way in proportion to weights", () => {
    const upstream = upstreamOf([4, 2, 1, 1]);
    const rule = ruleOf(upstream, least);
    for (let i = 0; i < 80; i++) pick(rule).inFlight++;
    expect(upstream.targets.map(({ inFlight }) => inFlight)).toEqual([40, 20, 10, 10]);
  });

  it("finds the idle one of very many within a few picks", () => {
    const upstream = upstreamOf(equal(1000));
    for (const target of upstream.targets) target.inFlight = 5;
    const rule = ruleOf(upstream, least);
    ids(rule, 7);
    for (const at of [0, 500, 999]) {
      const idle = upstream.targets[at]!;
      idle.inFlight = 0;
      expect(ids(rule, 17)).toContain(idle.id);
      expect(ids(rule, 3)).toEqual([idle.id, idle.id, idle.id]);
      idle.inFlight = 5;
    }
  });

  it("spreads requests that stay evenly over very many", () => {
    const upstream = upstreamOf(equal(1000));
    const rule = ruleOf(upstream, least);
    for (let i = 0; i < 5000; i++) pick(rule).inFlight++;
    expect(new Set(upstream.targets.map(({ inFlight }) => inFlight))).toEqual(new Set([5]));
  });

  it("goes on with its turns when a target comes or goes", () => {
    const upstream = upstreamOf(equal(3));
    const rule = ruleOf(upstream, least);
    expect(ids(rule, 4)).toEqual(["t0", "t1", "t2", "t0"]);
    upstream.eligible = upstream.targets.slice(0, 2);
    expect(ids(rule, 3)).toEqual(["t1", "t0", "t1"]);
  });
});
