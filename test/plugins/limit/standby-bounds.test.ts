/** However often a store comes and goes, no more is let in than it and the gateway allow together. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { GatewayError } from "../../../core/plugin.ts";
import type { Algorithm, Limiter, Plan } from "../../../plugins/limit/limiter.ts";
import { createMemoryLimiter } from "../../../plugins/limit/memory-limiter.ts";
import { sharePlan } from "../../../plugins/limit/share-plan.ts";
import { createStandbyLimiter, openStandby } from "../../../plugins/limit/standby-limiter.ts";
import { FakeHost } from "../../support/harness.ts";

const COUNT = 8;
const WINDOW_MS = 1000;
const SHARE = 0.5;
const planOf = (algorithm: Algorithm): Plan => ({
  rules: [{ name: "1s", algorithm, count: COUNT, windowMs: WINDOW_MS, burst: COUNT }],
  ban: undefined,
  countRejected: false,
});

const unused = (): never => expect.fail("nobody asks that");

/** What happens, one after the other: time goes by, the store goes or comes, requests come. */
const steps = fc.array(
  fc.oneof(
    fc.record({ waitMs: fc.integer({ min: 0, max: 400 }) }),
    fc.record({ isThere: fc.boolean() }),
    fc.record({ requests: fc.integer({ min: 1, max: 12 }) }),
  ),
  { minLength: 10, maxLength: 80 },
);

it.each([
  ["sliding-window-log", COUNT + COUNT * SHARE],
  ["token-bucket", 2 * (COUNT + COUNT * SHARE)],
  ["fixed-window", 2 * (COUNT + COUNT * SHARE)],
] as const)("%s: never more than %i in any window", async (algorithm, bound) => {
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const host = new FakeHost();
      const plan = planOf(algorithm);
      const counted = createMemoryLimiter("store", plan, host);
      let isThere = true;
      const remote: Limiter = {
        async take(key, cost) {
          if (!isThere) throw new GatewayError("STORE_UNAVAILABLE");
          return counted.take(key, cost);
        },
        settle: unused,
        read: unused,
        reset: unused,
        ban: unused,
        bans: unused,
      };
      const local = createMemoryLimiter("local", sharePlan(plan, SHARE), host);
      const standby = openStandby({ onStoreError: "local", store: "shared", timeoutMs: 50 }, host);
      const limiter = createStandbyLimiter(remote, local, plan, standby);
      const admitted: number[] = [];
      for (const step of all) {
        if ("waitMs" in step) host.clock.advance(step.waitMs);
        else if ("isThere" in step) isThere = step.isThere;
        else {
          for (let i = 0; i < step.requests; i++) {
            if ((await limiter.take("a", 1)).outcome === "allowed") admitted.push(host.clock.time);
          }
        }
      }
      for (const from of admitted) {
        const within = admitted.filter((at) => at >= from && at < from + WINDOW_MS);
        expect(within.length).toBeLessThanOrEqual(bound);
      }
    }),
  );
});
