import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type ActiveHealth, HealthMonitor } from "../../../../core/upstream/health/active.ts";
import type { Probe } from "../../../../core/upstream/health/probe.ts";
import { activeHealth, targetStates } from "./health-options.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const noTls = (): never => expect.unreachable("no target speaks TLS");

/** A probe that a test answers for: what is wrong, by address; `undefined` is well. */
function fakeProbe() {
  const asked: { host: string; signal: AbortSignal }[] = [];
  const failures = new Map<string, string | Error>();
  const probe: Probe = async ({ authority: host }, signal) => {
    asked.push({ host, signal });
    const failure = failures.get(host);
    if (failure instanceof Error) throw failure;
    return failure;
  };
  return { asked, failures, probe, hosts: () => asked.map(({ host }) => host) };
}

function setUp(active: object = {}, more: Partial<ActiveHealth> = {}, random = () => 0.5) {
  const around = targetStates();
  const fake = fakeProbe();
  const options = { ...activeHealth({ interval: "10s", ...active }), probe: fake.probe, ...more };
  const monitor = new HealthMonitor(options, noTls, random);
  return { ...around, ...fake, monitor, options };
}

describe("active checks", () => {
  it("ask each target at once, and again an interval after each answer", async () => {
    const { states, monitor, hosts } = setUp();
    monitor.update([states.acquire("http://a"), states.acquire("http://b")]);
    await vi.advanceTimersByTimeAsync(1);
    expect(hosts()).toEqual(["a", "b"]);
    await vi.advanceTimersByTimeAsync(9_998);
    expect(hosts()).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(hosts()).toEqual(["a", "b", "a", "b"]);
    monitor.close();
  });

  it("wait longer or shorter by up to the jitter", async () => {
    const randoms = [0, 1, 0.25].values();
    const { states, monitor, asked } = setUp({ jitter: "40%" }, {}, () => randoms.next().value ?? 0.5);
    monitor.update([states.acquire("http://a")]); // takes the first 0
    const waits: number[] = [];
    await vi.advanceTimersByTimeAsync(0);
    for (let i = 0; i < 2; i++) {
      const before = asked.length;
      let ms = 0;
      for (; asked.length === before; ms += 500) await vi.advanceTimersByTimeAsync(500);
      waits.push(ms);
    }
    expect(waits).toEqual([14_000, 8_000]);
    monitor.close();
  });

  it("spread the first checks of many targets, and only those", async () => {
    let n = 0;
    const { states, monitor, asked } = setUp({ interval: "1h" }, {}, () => (n++ % 100) / 100);
    const many = Array.from({ length: 100 }, (_, i) => states.acquire(`http://t${i}`));
    monitor.update(many);
    await vi.advanceTimersByTimeAsync(500);
    expect(asked.length).toBeGreaterThan(45);
    expect(asked.length).toBeLessThan(55);
    await vi.advanceTimersByTimeAsync(500);
    expect(asked).toHaveLength(100);
    monitor.update([...many, states.acquire("http://new")]);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(101);
    monitor.close();
  });

  it.each(["well", "ill"])("let the very first check decide alone when the target is %s", async (first) => {
    const { states, monitor, failures, log } = setUp();
    if (first === "ill") failures.set("a", "status 503");
    const a = states.acquire("http://a");
    expect(a.healthy).toBeUndefined();
    monitor.update([a]);
    await vi.advanceTimersByTimeAsync(1);
    expect(a.healthy).toBe(first === "well");
    expect(log.lines.map(({ level, message, fields }) => ({ level, message, ...fields }))).toEqual(
      first === "well"
        ? []
        : [
            {
              level: "warn",
              message: "target is unhealthy",
              upstream: "users",
              target: "http://a",
              reason: "status 503",
            },
          ],
    );
    monitor.close();
  });

  it("need as many in a row as configured to change a verdict, each way", async () => {
    const { states, monitor, failures, log } = setUp({ unhealthyThreshold: 3, healthyThreshold: 2 });
    const a = states.acquire("http://a");
    monitor.update([a]);
    await vi.advanceTimersByTimeAsync(1);
    const verdicts: (boolean | undefined)[] = [];
    for (const check of "++--+---++-+-++--") {
      if (check === "+") failures.delete("a");
      else failures.set("a", "status 500");
      await vi.advanceTimersByTimeAsync(10_000);
      verdicts.push(a.healthy);
    }
    const text = verdicts.map((healthy) => (healthy ? "+" : "-")).join("");
    expect(text).toBe("+++++++-" + "-+++++++" + "+");
    expect(a.checks).toEqual({ success: 9, failure: 9 });
    expect(log.lines.map(({ message }) => message)).toEqual([
      "target is unhealthy",
      "target is healthy again",
    ]);
    monitor.close();
  });

  it("count an error, one without a message and one of several addresses too, as a failure that says why", async () => {
    const errors: [Error, string][] = [
      [new Error("connect ECONNREFUSED 127.0.0.1:9"), "connect ECONNREFUSED 127.0.0.1:9"],
      [Object.assign(new Error(""), { code: "EPIPE" }), "EPIPE"],
      [new AggregateError([new Error("no route to ::1"), new Error("x")]), "no route to ::1"],
      [new Error(""), "the check failed"],
    ];
    for (const [error, reason] of errors) {
      const { states, monitor, failures, log } = setUp();
      failures.set("a", error);
      monitor.update([states.acquire("http://a")]);
      await vi.advanceTimersByTimeAsync(1);
      expect(log.lines[0]).toMatchObject({ fields: { reason } });
      monitor.close();
    }
  });

  it("take a target that does not answer in time for unhealthy, give the check up, and go on", async () => {
    const signals: AbortSignal[] = [];
    const probe: Probe = (_target, signal) => {
      signals.push(signal);
      return new Promise(() => {});
    };
    const { states, monitor, log } = setUp({ timeout: "2s" }, { probe });
    const a = states.acquire("http://a");
    monitor.update([a]);
    await vi.advanceTimersByTimeAsync(1_999);
    expect([a.healthy, signals[0]!.aborted]).toEqual([undefined, false]);
    await vi.advanceTimersByTimeAsync(1);
    expect([a.healthy, signals[0]!.aborted]).toEqual([false, true]);
    expect(log.lines[0]).toMatchObject({ fields: { reason: "no answer within 2000 ms" } });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(signals).toHaveLength(2);
    expect(signals[1]!.aborted).toBe(false);
    monitor.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("leave those alone that stay when targets come and go", async () => {
    const { states, monitor, hosts, asked } = setUp();
    const [a, b, c] = ["a", "b", "c"].map((name) => states.acquire(`http://${name}`));
    monitor.update([a!, b!]);
    await vi.advanceTimersByTimeAsync(4_000);
    monitor.update([b!, c!, c!]);
    await vi.advanceTimersByTimeAsync(1);
    expect(hosts()).toEqual(["a", "b", "c"]);
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([true, false, false]);
    await vi.advanceTimersByTimeAsync(6_000);
    expect(hosts()).toEqual(["a", "b", "c", "b"]);
    await vi.advanceTimersByTimeAsync(4_000);
    expect(hosts()).toEqual(["a", "b", "c", "b", "c"]);
    monitor.close();
  });

  it("end what the check before left open when the next one begins, and not earlier", async () => {
    const { states, monitor, asked } = setUp();
    monitor.update([states.acquire("http://a")]);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([false]);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    monitor.close();
  });

  it("end at close: no timer stays, the check under way is given up and its answer means nothing", async () => {
    const answers: ((failure: string) => void)[] = [];
    const signals: AbortSignal[] = [];
    const probe: Probe = (_target, signal) => {
      signals.push(signal);
      return new Promise((resolve) => answers.push(resolve));
    };
    const { states, monitor } = setUp({}, { probe });
    const a = states.acquire("http://a");
    monitor.update([a]);
    await vi.advanceTimersByTimeAsync(1);
    monitor.close();
    expect(signals[0]!.aborted).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
    answers[0]!("status 500");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(a.healthy).toBeUndefined();
    expect(a.checks).toEqual({ success: 0, failure: 0 });
    expect(answers).toHaveLength(1);
  });

  it("go on from the last verdict when the options change", async () => {
    const { states, monitor, failures, probe } = setUp();
    const [a, b] = [states.acquire("http://a"), states.acquire("http://b")];
    failures.set("a", "status 500");
    monitor.update([a, b]);
    await vi.advanceTimersByTimeAsync(1);
    monitor.close();
    expect([a.healthy, b.healthy]).toEqual([false, true]);
    failures.clear();
    failures.set("b", "status 500");
    const next = new HealthMonitor({ ...activeHealth({ interval: "1s" }), probe }, noTls, () => 0.5);
    next.update([a, b]);
    await vi.advanceTimersByTimeAsync(1);
    expect([a.healthy, b.healthy]).toEqual([false, true]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([a.healthy, b.healthy]).toEqual([true, true]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([a.healthy, b.healthy]).toEqual([true, false]);
    next.close();
  });
});
