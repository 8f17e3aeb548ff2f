/** The model that limiters are compared with keeps the promises that it is there to prove. */
import { describe } from "vitest";
import type { Decision, Limiter, Plan } from "../../../plugins/limit/limiter.ts";
import { capacityOf, LimitModel } from "../../support/limit-model.ts";
import { describePromises } from "../../support/limiter-suite.ts";

const OFFSET_MS = 123_456_789;

function toLimiter(model: LimitModel, plan: Plan, now: () => number): Limiter {
  return {
    take(key, cost): Decision {
      const { outcome, rules, left, retryAfterMs } = model.take(key, cost, now());
      const shareOf = (i: number): number => left[i]!.remaining / capacityOf(plan.rules[i]!);
      const rule = rules.toSorted((a, b) => shareOf(a) - shareOf(b))[0] ?? 0;
      const taken = outcome === "allowed" ? cost : 0;
      return { outcome, rule, ...left[rule]!, retryAfterMs, cost: taken, beginsBan: false, at: now() };
    },
    settle: (key, { at }, by) => model.settle(key, at, by, now()),
    read: (key) => model.read(key, now()),
    reset: (key) => model.reset(key),
    ban: (key, forMs) => model.ban(key, forMs, now()),
    bans: () => [],
  };
}

describe("the model of limiters", () => {
  describePromises(
    (plan) => {
      let time = 1_700_000_000_000;
      const now = (): number => time;
      const model = new LimitModel(plan, OFFSET_MS);
      return {
        limiter: toLimiter(model, plan, now),
        change: (other) => toLimiter(model.change(other), other, now),
        now,
        advance: (ms) => {
          time += ms;
        },
        utcOffsetMs: OFFSET_MS,
      };
    },
    { runs: 100 },
  );
});
