import fc from "fast-check";
import { describe } from "vitest";
import { ConfigError } from "../../../core/errors.ts";
import type { Limiter, Plan } from "../../../plugins/limit/limiter.ts";
import { createMemoryLimiter } from "../../../plugins/limit/memory-limiter.ts";
import { FakeHost } from "../../support/harness.ts";
import { describePromises, describeSharing } from "../../support/limiter-suite.ts";
import type { TimedLimiter } from "../../support/limiter-traces.ts";

const YEAR_MS = 365 * 86_400_000;

let host = new FakeHost();
let startedAt = host.clock.monotonic();
let scopes = 0;

/** Makes one, unless its rules are too large to be counted in memory. */
function create(scope: string, plan: Plan, its: FakeHost): Limiter {
  try {
    return createMemoryLimiter(scope, plan, its);
  } catch (error) {
    fc.pre(!(error instanceof ConfigError));
    throw error;
  }
}

function open(plan: Plan): TimedLimiter {
  // No gateway runs for as long as all histories together.
  if (host.clock.monotonic() - startedAt > YEAR_MS) {
    host = new FakeHost();
    startedAt = host.clock.monotonic();
  }
  const its = host;
  const { clock, shared } = its;
  const scope = `scope ${scopes++}`;
  return {
    now: () => clock.monotonic(),
    advance: (ms) => clock.advance(ms),
    utcOffsetMs: shared.utcOffsetMs,
    limiter: create(scope, plan, its),
    change: (other) => create(scope, other, its),
  };
}

describe("a limiter in memory", () => {
  describePromises(open, { runs: 200 });
  describeSharing(open, { runs: 200 });
});
