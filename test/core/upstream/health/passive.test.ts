import { describe, expect, it, vi } from "vitest";
import { OutlierRecord } from "../../../../core/upstream/health/outlier-record.ts";
import { countedMs, OutlierDetector } from "../../../../core/upstream/health/passive.ts";
import type { TargetState } from "../../../../core/upstream/target-state.ts";
import { passiveHealth, targetStates } from "./health-options.ts";

/** Judges targets by these options from now on. */
function watch(
  passive: object,
  targets: readonly TargetState[],
  { clock, states }: ReturnType<typeof targetStates>,
): OutlierDetector {
  const options = passiveHealth(passive);
  const { failures } = options;
  const detector = new OutlierDetector(options, clock, states.shared);
  for (const state of targets) {
    if (state.outlier?.fits(failures, countedMs(options))) continue;
    state.outlier = new OutlierRecord(OutlierRecord.create(failures, countedMs(options), 1), 0);
  }
  detector.setTargets(targets);
  return detector;
}

function setUp(passive: object = {}, count = 4) {
  const around = targetStates();
  const targets = Array.from({ length: count }, (_, i) => around.states.acquire(`http://t${i}`));
  const { clock } = around;
  const detector = watch(passive, targets, around);
  const isOut = (state: TargetState): boolean => !state.isHealthy(clock.monotonic());
  return {
    ...around,
    detector,
    targets,
    isOut,
    out: () => targets.flatMap((state, i) => (isOut(state) ? [i] : [])),
    fail: (i: number, times = 1) => {
      for (let n = 0; n < times; n++) detector.observe(targets[i]!, 500, undefined);
    },
    pass: (i: number, times = 1) => {
      for (let n = 0; n < times; n++) detector.observe(targets[i]!, 200, undefined);
    },
  };
}

describe("passive health by failures in a row", () => {
  it("ejects a target at the last of them, and says so", () => {
    const { fail, out, log, targets } = setUp({ failures: 3, ejectFor: "30s" });
    fail(1, 2);
    expect(out()).toEqual([]);
    fail(1);
    expect(out()).toEqual([1]);
    const fields = { upstream: "users", target: "http://t1", reason: "failures", forMs: 30_000 };
    expect(log.lines).toEqual([{ level: "warn", fields, message: "target is ejected" }]);
    expect(targets[1]!.ejectionCounts("ejections")).toEqual([["failures", 1]]);
  });

  it("begins again at a success", () => {
    const { fail, pass, out } = setUp({ failures: 3 });
    for (let i = 0; i < 5; i++) {
      fail(1, 2);
      pass(1);
    }
    expect(out()).toEqual([]);
  });

  it("counts only those that came within the time, and all of them", () => {
    const { fail, out, clock } = setUp({ failures: 3, within: "10s" });
    fail(1); // 0
    clock.advance(9_000);
    fail(1); // 9
    clock.advance(1_001);
    fail(1); // 10.001: the first is too old
    expect(out()).toEqual([]);
    clock.advance(8_999);
    fail(1); // 19: the last three are of ten seconds
    expect(out()).toEqual([1]);
  });

  it("does not eject by it at 0", () => {
    const { fail, out } = setUp({ failures: 0, errorRate: "50%", minRequests: 2000 });
    fail(1, 1500);
    expect(out()).toEqual([]);
  });

  it.each([
    ["a status of the list", 500, undefined, true],
    ["a status of the list's range", 503, undefined, true],
    ["another status", 429, undefined, false],
    ["a connection that fails", 0, "UPSTREAM_CONNECT_FAILED", true],
    ["a time-out", 0, "UPSTREAM_TIMEOUT", true],
    ["a reply that breaks off, whatever its status", 200, "UPSTREAM_RESET", true],
    ["a body that a stage gave up", 200, undefined, false],
    ["a body of a failure that a stage gave up", 503, undefined, true],
  ] as const)("takes %s for what it is", (_what, status, failure, isFailure) => {
    const { detector, targets, out } = setUp({ failures: 1, statuses: [500, "502-504"] });
    detector.observe(targets[1]!, status, failure);
    expect(out()).toEqual(isFailure ? [1] : []);
  });

  it("takes a request that the client gave up neither for a failure nor for a success", () => {
    const { detector, targets, fail, out } = setUp({ failures: 3, statuses: ["500-599"] });
    fail(1, 2);
    detector.observe(targets[1]!, 0, undefined);
    expect(out()).toEqual([]);
    fail(1);
    expect(out()).toEqual([1]);
  });

  it("takes no status for a failure with an empty list", () => {
    const { detector, targets, fail, out } = setUp({ failures: 1, statuses: [] });
    fail(1);
    expect(out()).toEqual([]);
    detector.observe(targets[1]!, 0, "UPSTREAM_RESET");
    expect(out()).toEqual([1]);
  });

  it("is quiet about statuses beyond all lists", () => {
    const { detector, targets, out } = setUp({ failures: 1 });
    for (const status of [999, 1000, 600]) detector.observe(targets[1]!, status, undefined);
    expect(out()).toEqual([]);
  });
});

describe("passive health by error rate", () => {
  const rate = { failures: 0, errorRate: "50%", minRequests: 10, within: "10s" };

  it("ejects a target at the rate, once there are enough requests", () => {
    const { fail, pass, out, log } = setUp(rate);
    pass(1, 4);
    fail(1, 5);
    expect(out()).toEqual([]);
    fail(1); // 6 of 10
    expect(out()).toEqual([1]);
    expect(log.lines[0]).toMatchObject({ fields: { reason: "error-rate" } });
  });

  it("lets one below the rate be", () => {
    const { fail, pass, out } = setUp(rate);
    pass(1, 6);
    fail(1, 5); // 5 of 11
    expect(out()).toEqual([]);
    fail(1); // 6 of 12
    expect(out()).toEqual([1]);
  });

  it("forgets what is older than the time", () => {
    const { fail, pass, out, clock } = setUp(rate);
    pass(1, 100);
    clock.advance(10_000);
    fail(1, 9);
    expect(out()).toEqual([]);
    fail(1);
    expect(out()).toEqual([1]);
  });

  it("remembers what is newer, however it is spread", () => {
    const { fail, pass, out, clock } = setUp(rate);
    for (let i = 0; i < 9; i++) {
      pass(1, 2);
      clock.advance(1_000);
    }
    fail(1, 17); // of 35
    expect(out()).toEqual([]);
    fail(1);
    expect(out()).toEqual([1]);
  });

  it("lets a target be that fails no more than the others together", () => {
    const { fail, pass, out } = setUp({ ...rate, minRequests: 2 }, 3);
    fail(0, 1);
    fail(2, 1);
    pass(2, 1); // the others: 2 of 3; none has enough requests or is above them
    pass(1, 2);
    fail(1, 3); // 3 of 5 < 2 of 3
    expect(out()).toEqual([]);
    fail(1, 3); // 6 of 8 > 2 of 3
    expect(out()).toEqual([1]);
  });

  it("does not compare with what the others did long ago", () => {
    const { fail, pass, out, clock } = setUp({ ...rate, minRequests: 20 }, 3);
    fail(0, 19);
    clock.advance(60_000);
    pass(1, 8);
    fail(1, 12);
    expect(out()).toEqual([1]);
  });

  it("is off by default", () => {
    const { fail, pass, out } = setUp({ failures: 5 });
    for (let i = 0; i < 100; i++) {
      fail(1, 4);
      pass(1);
    }
    expect(out()).toEqual([]);
  });
});

describe("an ejection", () => {
  it("lasts twice as long each time a target fails soon after its return, up to a maximum", () => {
    const { fail, clock, targets } = setUp({
      failures: 1,
      ejectFor: "30s",
      maxEjectFor: "3m",
    });
    const lasted: number[] = [];
    for (let i = 0; i < 5; i++) {
      fail(1);
      const ms = targets[1]!.ejectedUntil - clock.monotonic();
      lasted.push(ms / 1000);
      clock.advance(ms + 1_000);
    }
    expect(lasted).toEqual([30, 60, 120, 180, 180]);
  });

  it("takes a doubling back for each time that the target behaves as long as it was away", () => {
    const { fail, clock, targets } = setUp({ failures: 1, ejectFor: "30s", maxEjectFor: "1h" });
    const eject = (behavedFor: number): number => {
      clock.advance(behavedFor * 1000);
      fail(1);
      const ms = targets[1]!.ejectedUntil - clock.monotonic();
      clock.advance(ms);
      return ms / 1000;
    };
    expect([eject(0), eject(0), eject(0), eject(119)]).toEqual([30, 60, 120, 240]);
    expect(eject(240)).toBe(240); // 480 less one
    expect(eject(2 * 240)).toBe(120);
    expect(eject(100 * 120)).toBe(30);
    expect(eject(29)).toBe(60);
  });

  it("is shorter again after one good time, however often it was as long as can be", () => {
    const { fail, clock, targets } = setUp({ failures: 1, ejectFor: "30s", maxEjectFor: "3m" });
    const eject = (): number => {
      fail(1);
      const ms = targets[1]!.ejectedUntil - clock.monotonic();
      clock.advance(ms);
      return ms;
    };
    for (let i = 0; i < 20; i++) eject();
    expect(eject()).toBe(180_000);
    clock.advance(180_000);
    expect(eject()).toBe(120_000);
  });

  it("ends when its time is over, and the target begins anew", () => {
    const { fail, pass, out, clock } = setUp({
      failures: 3,
      errorRate: "50%",
      minRequests: 4,
      ejectFor: "1s",
      within: "1m",
    });
    fail(1, 3);
    expect(out()).toEqual([1]);
    clock.advance(999);
    fail(1, 10); // under way when it was ejected
    expect(out()).toEqual([1]);
    clock.advance(1);
    expect(out()).toEqual([]);
    pass(1);
    fail(1, 2);
    expect(out()).toEqual([]); // neither three in a row nor two of four
    fail(1);
    expect(out()).toEqual([1]);
  });

  it("does not count what ends during it as a success either", () => {
    const { fail, pass, out, clock } = setUp({
      failures: 0,
      errorRate: "50%",
      minRequests: 2,
      ejectFor: "1s",
      within: "1m",
    });
    fail(1, 2);
    pass(1, 50);
    clock.advance(1_000);
    fail(1, 2);
    expect(out()).toEqual([1]);
  });

  it.each([
    ["50%", 2, 1],
    ["50%", 5, 2],
    ["29%", 100, 29],
    ["0%", 4, 0],
    ["20%", 4, 0],
    ["100%", 3, 2],
    ["100%", 1, 0],
  ])("is not made beyond %s of %i targets: %i", (maxEjected, count, most) => {
    const { fail, out } = setUp({ failures: 1, maxEjected }, count);
    for (let i = 0; i < count; i++) fail(i, 3);
    expect(out()).toHaveLength(most);
  });

  it("is made as soon as there is room again", () => {
    const { fail, out, clock } = setUp({ failures: 3, maxEjected: "50%", ejectFor: "1s" }, 2);
    fail(0, 3);
    fail(1, 3);
    expect(out()).toEqual([0]);
    clock.advance(1_000);
    fail(1);
    expect(out()).toEqual([1]);
  });

  it("never takes the last target that can be used", () => {
    const { fail, out, targets } = setUp({ failures: 1, maxEjected: "100%" }, 3);
    targets[0]!.setHealthy(false, "status 500");
    targets[2]!.override("disabled", undefined);
    fail(1, 5);
    expect(out()).toEqual([0]);
    targets[2]!.override("active", undefined);
    fail(1);
    expect(out()).toEqual([0, 1]);
  });

  it("that was due and not made is told of once for the time that it would have lasted", () => {
    const { fail, pass, targets, log, clock } = setUp({ failures: 2, maxEjected: "25%", ejectFor: "5s" }, 4);
    fail(0, 2);
    log.lines.length = 0;
    fail(1, 4);
    pass(1);
    fail(1, 2);
    const message = "target fails but is not ejected: too many are, or no other can be used";
    const fields = { upstream: "users", target: "http://t1", reason: "failures" };
    expect(log.lines).toEqual([{ level: "warn", fields, message }]);
    clock.advance(4_999);
    fail(1, 2);
    expect(targets[1]!.ejectionCounts("refusals")).toEqual([["failures", 1]]);
    targets[0]!.eject("failures", 60_000, 60_000);
    clock.advance(1);
    fail(1);
    expect(targets[1]!.ejectionCounts("refusals")).toEqual([["failures", 2]]);
  });

  it("leaves targets that active checks found unhealthy out of the share", () => {
    const { fail, out, targets } = setUp({ failures: 1, maxEjected: "25%" }, 4);
    targets[0]!.setHealthy(false, "status 500");
    fail(1);
    fail(2);
    expect(out()).toEqual([0, 1]);
  });

  it("is made once when two threads see that it is due", () => {
    const { states, targets, fail, detector, log } = setUp({ failures: 2, ejectFor: "1s" });
    const { shared } = states;
    fail(1);
    const tryLock = vi.spyOn(shared, "tryLock").mockImplementationOnce(() => {
      // The other one has been quicker, and is done.
      tryLock.mockRestore();
      detector.observe(targets[1]!, 500, undefined);
      return shared.tryLock();
    });
    fail(1);
    expect(targets[1]!.ejectionCounts("ejections")).toEqual([["failures", 1]]);
    expect(log.lines).toHaveLength(1);
    expect(shared.tryLock()).toBe(true);
  });

  it("is not made of a target that is no more", () => {
    const { detector, fail, out, targets } = setUp({ failures: 1 });
    detector.setTargets(targets.slice(0, 3));
    fail(3);
    expect(out()).toEqual([]);
  });
});

describe("the next generation", () => {
  it("goes on counting where the last one was", () => {
    const around = setUp({ failures: 3, errorRate: "50%" });
    const { detector, targets, fail, pass, out } = around;
    fail(1, 2);
    fail(2, 2);
    pass(2, 16);
    fail(2, 2); // 4 of 20
    const next = watch({ failures: 3, errorRate: "20%", minRequests: 21 }, targets, around);
    expect(out()).toEqual([]);
    next.observe(targets[1]!, 500, undefined);
    expect(out()).toEqual([1]);
    next.observe(targets[2]!, 500, undefined); // third in a row
    expect(out()).toEqual([1, 2]);
    expect(detector).not.toBe(next);
  });

  it("remembers ejections when what is counted has changed", () => {
    const around = setUp({ failures: 1, ejectFor: "30s" });
    const { clock, targets, fail, out } = around;
    fail(1);
    const next = watch({ failures: 2, ejectFor: "30s" }, targets, around);
    expect(out()).toEqual([1]);
    clock.advance(30_000);
    next.observe(targets[1]!, 500, undefined);
    expect(out()).toEqual([]);
    next.observe(targets[1]!, 500, undefined);
    expect(targets[1]!.ejectedUntil - clock.monotonic()).toBe(60_000);
  });
});
