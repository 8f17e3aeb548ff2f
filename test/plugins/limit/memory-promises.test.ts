/** Counting in shared memory keeps the promises of limiters. */
import { describe } from "vitest";
import { createMemoryLimiter } from "../../../plugins/limit/memory-limiter.ts";
import { FakeHost } from "../../support/harness.ts";
import { describePromises, describeSharing } from "../../support/limiter-suite.ts";
import type { MakeLimiter } from "../../support/limiter-traces.ts";

/** Shared memory counts time for eight years. */
const LONGEST_MS = 365 * 86_400_000;

describe("the memory limiter", () => {
  let host = new FakeHost();
  let until = host.clock.time + LONGEST_MS;
  let scopes = 0;
  const make: MakeLimiter = (plan) => {
    if (host.clock.time > until) {
      host = new FakeHost();
      until = host.clock.time + LONGEST_MS;
    }
    const { clock, shared } = host;
    const scope = `scope ${scopes++}`;
    return {
      limiter: createMemoryLimiter(scope, plan, host),
      change: (other) => createMemoryLimiter(scope, other, host),
      now: () => clock.time,
      advance: (ms) => clock.advance(ms),
      utcOffsetMs: shared.utcOffsetMs,
    };
  };
  describePromises(make, { runs: 150 });
  describeSharing(make, { runs: 150 });
});
