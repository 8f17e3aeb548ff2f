import { describe, expect, it } from "vitest";
import { TargetStates } from "../../../core/upstream/target-states.ts";
import { FakeClock, FakeHost, FakeLog } from "../../support/harness.ts";

function setUp() {
  const [log, clock, host] = [new FakeLog(), new FakeClock(), new FakeHost()];
  const states = new TargetStates("users", 0, { log, clock, metrics: host.metrics, threads: 1 });
  return { states, log, clock, host };
}

const A = "http://127.0.0.1:8081";
const B = "https://b.test";

describe("the state of a target", () => {
  it("is one for a URL, as long as somebody has it", () => {
    const { states } = setUp();
    const first = states.acquire(A);
    expect(states.acquire(A)).toBe(first);
    expect(states.acquire(B)).not.toBe(first);
    states.release(first);
    expect(states.acquire(A)).toBe(first);
    states.release(first);
    states.release(first);
    expect(states.acquire(A)).not.toBe(first);
  });

  it("is healthy until it is said not to be, by checks or by an ejection that lasts", () => {
    const { states, clock } = setUp();
    const state = states.acquire(A);
    const now = clock.monotonic();
    expect([state.healthy, state.isHealthy(now)]).toEqual([undefined, true]);
    state.setHealthy(false);
    expect(state.isHealthy(now)).toBe(false);
    state.setHealthy(true);
    state.eject("failures", 100, 100);
    expect([state.isHealthy(now), state.isHealthy(now + 99), state.isHealthy(now + 100)]).toEqual([
      false,
      false,
      true,
    ]);
    state.readmit();
    expect([state.isHealthy(now), state.ejectedUntil]).toEqual([true, now]);
  });

  it("says why it is not healthy: what the last check found, or else why it is ejected", () => {
    const { states, clock } = setUp();
    const state = states.acquire(A);
    const now = clock.monotonic();
    expect(state.unhealthyReason(now)).toBeUndefined();
    state.eject("error-rate", 100, 100);
    expect(state.unhealthyReason(now)).toBe("error-rate");
    state.setHealthy(false, "status 503");
    state.setHealthy(false, "status 500");
    expect(state.unhealthyReason(now)).toBe("status 500");
    state.setHealthy(true);
    expect(state.unhealthyReason(now + 100)).toBeUndefined();
  });

  it("raises the version of all with each change, and only then", () => {
    const { states } = setUp();
    const state = states.acquire(A);
    const before = states.shared.version;
    state.setHealthy(undefined);
    state.readmit();
    expect(states.shared.version).toBe(before);
    const changes = [
      () => state.setHealthy(true),
      () => state.setHealthy(false),
      () => state.eject("failures", 1e9, 1e9),
      () => state.readmit(),
      () => state.override("draining", undefined),
    ];
    for (const [i, change] of changes.entries()) {
      change();
      expect(states.shared.version).toBe(before + i + 1);
    }
  });

  it("is logged when it changes, once", () => {
    const { states, log } = setUp();
    const state = states.acquire(A);
    state.setHealthy(true);
    expect(log.lines).toEqual([]);
    state.setHealthy(false, "503");
    state.setHealthy(false, "503");
    state.setHealthy(true);
    state.eject("failures", 5000, 5000);
    state.readmit();
    state.readmit();
    state.override(undefined, 7);
    const at = { upstream: "users", target: A };
    expect(log.lines).toEqual([
      { level: "warn", fields: { ...at, reason: "503" }, message: "target is unhealthy" },
      { level: "info", fields: at, message: "target is healthy again" },
      { level: "warn", fields: { ...at, reason: "failures", forMs: 5000 }, message: "target is ejected" },
      { level: "info", fields: at, message: "ejection of target is over" },
      { level: "info", fields: { ...at, state: "active", weight: 7 }, message: "target was set" },
    ]);
  });
});

describe("what an operator sets of a target", () => {
  it("changes what is named and leaves the rest", () => {
    const state = setUp().states.acquire(A);
    state.override("draining", undefined);
    state.override(undefined, 0);
    expect([state.adminState, state.weight]).toEqual(["draining", 0]);
    state.override(undefined, null);
    expect([state.adminState, state.weight]).toEqual(["draining", undefined]);
  });

  it("is there again when the target comes back, and not after it was taken back", () => {
    const { states } = setUp();
    const first = states.acquire(A);
    first.override("disabled", 3);
    first.setHealthy(false);
    states.release(first);
    const second = states.acquire(A);
    expect([second.adminState, second.weight, second.healthy]).toEqual(["disabled", 3, undefined]);
    second.override("active", null);
    states.release(second);
    const third = states.acquire(A);
    expect([third.adminState, third.weight, states.overrides.size]).toEqual(["active", undefined, 0]);
  });
});

describe("the average latency of a target", () => {
  it("follows a peak at once, shorter ones little by little, and fades without any", () => {
    const state = setUp().states.acquire(A);
    expect(state.latencyMs(0)).toBe(0);
    state.observeLatency(10, 0);
    state.observeLatency(100, 0);
    expect(state.latencyMs(0)).toBe(100);
    state.observeLatency(10, 1000);
    const after = state.latencyMs(1000);
    expect(after).toBeGreaterThan(80);
    expect(after).toBeLessThan(100);
    expect(state.latencyMs(11_000)).toBeCloseTo(after / Math.E);
    expect(state.latencyMs(200_000)).toBeLessThan(0.01);
  });

  it("is long for one that fails fast", () => {
    const state = setUp().states.acquire(A);
    state.observeLatency(1, 0);
    state.observeFailure(0);
    expect(state.latencyMs(0)).toBe(1000);
    state.observeLatency(5000, 0);
    state.observeFailure(0);
    expect(state.latencyMs(0)).toBe(5000);
  });
});

describe("metrics of targets", () => {
  it("tell of each target by its id, as long as it is there", () => {
    const { states, host, clock } = setUp();
    const [a, b] = [states.acquire(A), states.acquire(B)];
    const [atA, atB] = [
      { upstream: "users", target: "127.0.0.1:8081" },
      { upstream: "users", target: "b.test:443" },
    ];
    const key = (labels: object) => JSON.stringify(labels);
    a.startRequest();
    a.checks.success += 2;
    b.eject("failures", 1000, 1000);
    a.refuseEjection("error-rate", 1000);
    expect(host.collected("sluice_upstream_target_up")).toEqual({ [key(atA)]: 1, [key(atB)]: 0 });
    expect(host.collected("sluice_upstream_target_in_flight")).toEqual({ [key(atA)]: 1, [key(atB)]: 0 });
    expect(host.collected("sluice_upstream_ejections_total")).toEqual({
      [key({ ...atB, reason: "failures" })]: 1,
    });
    expect(host.collected("sluice_upstream_ejections_refused_total")).toEqual({
      [key({ ...atA, reason: "error-rate" })]: 1,
    });
    expect(host.collected("sluice_upstream_health_checks_total")).toMatchObject({
      [key({ ...atA, result: "success" })]: 2,
      [key({ ...atA, result: "failure" })]: 0,
    });
    clock.advance(1000);
    expect(host.collected("sluice_upstream_target_up")[key(atB)]).toBe(1);
    b.override("disabled", undefined);
    expect(host.collected("sluice_upstream_target_up")[key(atB)]).toBe(0);
    states.release(b);
    expect(Object.keys(host.collected("sluice_upstream_target_up"))).toEqual([key(atA)]);
  });

  it("tell of panic as the generation that serves sees it, and end with the upstream", () => {
    const { states, host } = setUp();
    const panic = () => host.collected("sluice_upstream_panic");
    expect(panic()).toEqual({ '{"upstream":"users"}': 0 });
    states.current = { panic: true, tls: () => expect.fail("nobody asks") };
    expect(panic()).toEqual({ '{"upstream":"users"}': 1 });
    states.close();
    expect(panic()).toEqual({});
  });

  it("the monitor is closed with the upstream", () => {
    const { states } = setUp();
    let closed = 0;
    states.monitor = { key: "", update() {}, close: () => void closed++ };
    states.close();
    expect(closed).toBe(1);
  });
});
