/** The model that limiters are compared with keeps the promises that it is there to prove. */
import { describe } from "vitest";
import type { Decision } from "../../../plugins/limit/limiter.ts";
import { capacityOf, LimitModel } from "../../support/limit-model.ts";
import { describePromises } from "../../support/limiter-suite.ts";

describe("the model of limiters", () => {
  describePromises(
    (plan) => {
      let now = 1_700_000_000_000;
      const model = new LimitModel(plan, 123_456_789);
      return {
        now: () => now,
        advance: (ms) => {
          now += ms;
        },
        utcOffsetMs: 123_456_789,
        limiter: {
          take(key, cost): Decision {
            const { outcome, rules, left, retryAfterMs } = model.take(key, cost, now);
            const shareOf = (i: number): number => left[i]!.remaining / capacityOf(plan.rules[i]!);
            const rule = rules.toSorted((a, b) => shareOf(a) - shareOf(b))[0] ?? 0;
            return {
              outcome,
              rule,
              ...left[rule]!,
              retryAfterMs,
              cost: outcome === "allowed" ? cost : 0,
              at: now,
            };
          },
          settle: (key, { at }, by) => model.settle(key, at, by, now),
          read: (key) => model.read(key, now),
          reset: (key) => model.reset(key),
          ban: (key, forMs) => model.ban(key, forMs, now),
          bans: () => [],
        },
      };
    },
    { runs: 100 },
  );
});
