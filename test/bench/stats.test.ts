import { describe, expect, it } from "vitest";
import { ratioOf, type Sample, summarize } from "../../bench/peers/measure.ts";
import { median, quantile } from "../../bench/support/stats.ts";

const sample = (cpuMicros: number, failures = 0): Sample => ({
  ...{ requests: 1, perSecond: 1, p50Ms: 1, p99Ms: 1, rss: 1, pss: 1 },
  cpuMicros,
  failures,
});

describe("quantile", () => {
  it("lies between neighbours when it falls between them", () => {
    expect(quantile([40, 10, 30, 20], 0.5)).toBe(25);
    expect(quantile([10, 20], 0.99)).toBeCloseTo(19.9);
  });

  it("bears infinite values", () => {
    expect(median([Number.POSITIVE_INFINITY, 1, Number.POSITIVE_INFINITY])).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("summarize", () => {
  it("takes medians and adds failures up", () => {
    const { cpuMicros, failures } = summarize([sample(30, 2), sample(10), sample(20, 1)]);
    expect([cpuMicros, failures]).toEqual([20, 3]);
  });
});

describe("ratioOf", () => {
  it("is the median of each round's own ratio, not the ratio of medians", () => {
    expect(ratioOf([sample(1), sample(9), sample(4)], [sample(1), sample(3), sample(8)])).toBe(1);
  });

  it("uses the rounds that both have", () => {
    expect(ratioOf([sample(10), sample(10), sample(10)], [sample(40)])).toBe(0.25);
  });
});
