/** Counting in Redis keeps the promises of limiters. */
import { afterAll, beforeAll, describe } from "vitest";
import { createRedisLimiter } from "../../../plugins/limit/redis-limiter.ts";
import { describePromises, describeSharing } from "../../support/limiter-suite.ts";
import type { MakeLimiter } from "../../support/limiter-traces.ts";
import { startRedis } from "../../support/redis.ts";
import { type OpenedStore, openStore, redisAt } from "../../support/stores.ts";

describe("the Redis limiter", () => {
  const resources = new AsyncDisposableStack();
  let opened: OpenedStore;
  let scopes = 0;
  beforeAll(async () => {
    const server = resources.use(await startRedis());
    opened = resources.use(await openStore(redisAt(server.url)));
  });
  afterAll(() => resources.disposeAsync());

  const make: MakeLimiter = (plan) => {
    let now = 1_700_000_000_000;
    const options = { timeoutMs: 10_000, now: () => now };
    const scope = `scope ${scopes++}`;
    return {
      limiter: createRedisLimiter(scope, plan, opened.store, options),
      change: (other) => createRedisLimiter(scope, other, opened.store, options),
      now: () => now,
      advance: (ms) => {
        now += ms;
      },
      utcOffsetMs: 0,
    };
  };
  describePromises(make, { runs: 50 });
  describeSharing(make, { runs: 50 });
});
