/** Health options as a configuration has them, checked, and states of targets to try them on. */
import { expect } from "vitest";
import type { Problem } from "../../../../core/errors.ts";
import { GatewayMetrics } from "../../../../core/observe/metrics.ts";
import type { ActiveHealth } from "../../../../core/upstream/health/active.ts";
import { compileHealth } from "../../../../core/upstream/health/compile.ts";
import type { PassiveHealth } from "../../../../core/upstream/health/passive.ts";
import { TargetStates } from "../../../../core/upstream/target-states.ts";
import { FakeClock, FakeLog } from "../../../support/harness.ts";
import { upstreamConfig } from "../test-upstream.ts";

/** Active checks, compiled. */
export function activeHealth(active: object, tls?: object): ActiveHealth {
  const problems: Problem[] = [];
  const parts = { targets: ["http://a"], health: { active }, ...(tls === undefined ? {} : { tls }) };
  const health = compileHealth(upstreamConfig(parts), problems);
  expect(problems).toEqual([]);
  return health.active!;
}

/** Passive health, compiled. */
export function passiveHealth(passive: object): PassiveHealth {
  const problems: Problem[] = [];
  const health = compileHealth(upstreamConfig({ targets: ["http://a"], health: { passive } }), problems);
  expect(problems).toEqual([]);
  return health.passive!;
}

/** What is wrong with health options: code, pointer and message. */
export function problemsOf(health: object): { code: string; pointer: string; message: string }[] {
  const problems: Problem[] = [];
  compileHealth(upstreamConfig({ targets: ["http://a"], health }), problems);
  return problems;
}

/** States of an upstream's targets with a clock that moves when told and a log that is kept. */
export function targetStates(threads = 1): { states: TargetStates; clock: FakeClock; log: FakeLog } {
  const [clock, log, metrics] = [new FakeClock(), new FakeLog(), new GatewayMetrics()];
  return { states: new TargetStates("users", 0, { log, clock, metrics, threads }), clock, log };
}
