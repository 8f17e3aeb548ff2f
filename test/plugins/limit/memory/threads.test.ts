/** Real threads, as fast as they can. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Algorithm, Plan, Rule } from "../../../../plugins/limit/limiter.ts";
import { ALGORITHMS } from "../../../support/limiter-traces.ts";
import { LimitingThreads } from "../../../support/limiting-threads.ts";

const HOUR_MS = 3_600_000;

const ruleOf = (algorithm: Algorithm, count: number): Rule => ({
  name: algorithm,
  algorithm,
  count,
  windowMs: HOUR_MS,
  burst: count,
});
const planOf = (...rules: Rule[]): Plan => ({ rules, ban: undefined, countRejected: false });

let threads: LimitingThreads;
beforeAll(() => {
  threads = new LimitingThreads(4);
});
afterAll(() => threads.close());

describe.each(ALGORITHMS)("%s with four threads", (algorithm) => {
  it("admits exactly the limit of one key", async () => {
    const plan = planOf(ruleOf(algorithm, 1000));
    const { taken, left } = await threads.hammer({ plan, keys: 1, rounds: 2000, cost: 1 });
    expect(taken).toEqual([1000]);
    expect(left).toMatchObject([[{ remaining: 0 }]]);
  });

  it("admits exactly the limit of each of many keys that nobody has seen before", async () => {
    const plan = planOf(ruleOf(algorithm, 3));
    const { taken } = await threads.hammer({ plan, keys: 5000, rounds: 3, cost: 1 });
    expect(taken.filter((count) => count !== 3)).toEqual([]);
  });

  it("never admits more when requests cost several units", async () => {
    const plan = planOf(ruleOf(algorithm, 100));
    const { taken, left } = await threads.hammer({ plan, keys: 100, rounds: 30, cost: 7 });
    expect(Math.max(...taken)).toBeLessThanOrEqual(98);
    expect(left.map(([rule]) => rule!.remaining)).toEqual(taken.map((count) => 100 - count));
  });

  it("loses nothing that is given back, and gives out nothing twice", async () => {
    const plan = planOf(ruleOf(algorithm, 1000));
    const { taken, left } = await threads.hammer({ plan, keys: 5, rounds: 300, cost: 1, isGivenBack: true });
    expect(Math.max(...taken)).toBeGreaterThan(300);
    expect(left.map(([rule]) => rule!.remaining)).toEqual(taken.map((count) => 1000 - count));
  });
});

it("admits the smaller limit of two rules, and takes of the other what it admits", async () => {
  const plan = planOf(ruleOf("token-bucket", 5000), ruleOf("sliding-window-counter", 2000));
  const { taken, left } = await threads.hammer({ plan, keys: 1, rounds: 3000, cost: 1 });
  expect(taken).toEqual([2000]);
  expect(left).toMatchObject([[{ remaining: 3000 }, { remaining: 0 }]]);
});
