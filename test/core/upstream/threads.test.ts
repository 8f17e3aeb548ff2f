/** One upstream on several threads: what one of them knows or does holds for all. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTargetRecord } from "../../../core/upstream/target-record.ts";
import { TargetState } from "../../../core/upstream/target-state.ts";
import { createUpstreamRecord, UpstreamRecord } from "../../../core/upstream/upstream-record.ts";
import type { LiveUpstream } from "../../../core/upstream/upstream.ts";
import { FakeClock, FakeLog } from "../../support/harness.ts";
import { discovering, FakeDiscovery } from "./fake-discovery.ts";
import { ids, list, setUp } from "./test-upstream.ts";

/** Requests to a target that begin and fail. */
function fail({ targets }: LiveUpstream, i: number, times = 1): void {
  for (let n = 0; n < times; n++) {
    targets[i]!.onStart();
    targets[i]!.onEnd(0, "UPSTREAM_RESET");
  }
}

function pass({ targets }: LiveUpstream, i: number, times = 1): void {
  for (let n = 0; n < times; n++) {
    targets[i]!.onStart();
    targets[i]!.onEnd(200, undefined);
  }
}

describe("threads that share an upstream", () => {
  it("count the requests under way of all", async () => {
    const [a, b] = await setUp(2).openAll({ targets: list(2) });
    for (const { targets } of [a, b!]) targets[0]!.onStart();
    b!.targets[1]!.onStart();
    for (const each of [a, b!]) {
      expect(each.targets.map(({ inFlight }) => inFlight)).toEqual([2, 1]);
      expect(each.inFlight).toBe(3);
    }
    a.targets[0]!.onEnd(200, undefined);
    expect([b!.targets[0]!.inFlight, b!.inFlight]).toEqual([1, 2]);
  });

  it("know how long targets take by what all have seen", async () => {
    const { clock, openAll } = setUp(2);
    const [a, b] = await openAll({ targets: list(1) });
    a.targets[0]!.state.observeLatency(80, clock.monotonic());
    expect(b!.targets[0]!.state.latencyMs(clock.monotonic())).toBe(80);
  });

  it("go by what checks and operators say, at once", async () => {
    const [a, b] = await setUp(2).openAll({ targets: list(4) });
    expect(ids(b!.eligible)).toEqual(["1", "2", "3", "4"]);
    a.known[0]!.setHealthy(false, "status 500");
    a.keeper.change({ target: "127.0.0.1:2", set: { state: "disabled" } });
    a.keeper.change({ target: "127.0.0.1:3", set: { weight: 7 } });
    for (const each of [a, b!]) {
      expect(each.eligible.map(({ id, weight }) => [id.slice(-1), weight])).toEqual([
        ["3", 7],
        ["4", 1],
      ]);
    }
  });

  it("all leave a target out that one of them has ejected, and that one says so", async () => {
    const { log, openAll, clock } = setUp(2);
    const [a, b] = await openAll({ targets: list(4), health: { passive: { failures: 3, ejectFor: "30s" } } });
    fail(b!, 1, 3);
    expect([ids(a.eligible), ids(b!.eligible)]).toEqual([
      ["1", "3", "4"],
      ["1", "3", "4"],
    ]);
    expect(log.lines.map(({ message }) => message)).toEqual(["target is ejected"]);
    clock.advance(30_000);
    expect(ids(a.eligible)).toEqual(["1", "2", "3", "4"]);
    a.keeper.look();
    expect(log.lines.at(-1)!.message).toBe("ejection of target is over");
  });

  it("count failures in a row over all of them, exactly", async () => {
    const [a, b, c] = await setUp(3).openAll({ targets: list(2), health: { passive: { failures: 4 } } });
    fail(a, 0);
    fail(b!, 0, 2);
    pass(c!, 0);
    for (const each of [a, b!, c!]) fail(each, 0);
    expect(ids(a.eligible)).toEqual(["1", "2"]);
    fail(b!, 0);
    for (const each of [a, b!, c!]) expect(ids(each.eligible)).toEqual(["2"]);
  });

  it("have the time of failures in a row of all of them", async () => {
    const { clock, openAll } = setUp(2);
    const passive = { failures: 3, within: "10s" };
    const [a, b] = await openAll({ targets: list(2), health: { passive } });
    fail(a, 0);
    clock.advance(9000);
    fail(b!, 0);
    clock.advance(1001);
    fail(a, 0); // the first is too old
    expect(ids(b!.eligible)).toEqual(["1", "2"]);
    clock.advance(8999);
    fail(b!, 0);
    expect(ids(a.eligible)).toEqual(["2"]);
  });

  it("compare the error rates of targets over all of them", async () => {
    const passive = { failures: 0, errorRate: "50%", minRequests: 8 };
    const [a, b] = await setUp(2).openAll({ targets: list(2), health: { passive } });
    pass(a, 0, 4);
    fail(b!, 0, 3);
    expect(ids(a.eligible)).toEqual(["1", "2"]);
    fail(b!, 0);
    expect(ids(a.eligible)).toEqual(["2"]);
  });

  it("begin all counts anew after an ejection", async () => {
    const { clock, openAll } = setUp(2);
    const passive = { failures: 0, errorRate: "50%", minRequests: 4, ejectFor: "1s", within: "1m" };
    const [a, b] = await openAll({ targets: list(2), health: { passive } });
    fail(a, 0, 2);
    fail(b!, 0, 2);
    expect(ids(a.eligible)).toEqual(["2"]);
    clock.advance(1000);
    pass(a, 0);
    fail(b!, 0, 2);
    expect(ids(a.eligible)).toEqual(["1", "2"]);
    fail(a, 0);
    expect(ids(a.eligible)).toEqual(["2"]);
  });

  it("together never eject more than may be, nor the last that can be used", async () => {
    const passive = { failures: 1, maxEjected: "100%" };
    const [a, b] = await setUp(2).openAll({ targets: list(3), health: { passive } });
    for (let i = 0; i < 3; i++) {
      fail(a, i);
      fail(b!, 2 - i);
    }
    expect(a.eligible).toHaveLength(1);
    expect(ids(b!.eligible)).toEqual(ids(a.eligible));
  });

  it("warm a target up from the end of its ejection, also those that look later", async () => {
    const { clock, openAll } = setUp(2);
    const parts = {
      targets: list(2),
      slowStart: "20s",
      health: { passive: { failures: 1, ejectFor: "10s" } },
    };
    const [a, b] = await openAll(parts);
    fail(a, 0);
    const shares = (of: LiveUpstream) => of.eligible.map(({ weight }) => Math.round(weight * 21));
    expect(shares(a)).toEqual([21]);
    clock.advance(10_000);
    expect(shares(a)).toEqual([1, 21]);
    clock.advance(10_000);
    expect([shares(a), shares(b!)]).toEqual([
      [11, 21],
      [11, 21],
    ]);
    clock.advance(10_000);
    expect([shares(a), shares(b!)]).toEqual([
      [21, 21],
      [21, 21],
    ]);
  });

  it("follow targets that come and go, and know a URL that comes back as another target", async () => {
    const discovery = new FakeDiscovery(...list(2));
    const { openAll } = discovering(discovery, 2);
    const [a, b] = await openAll({});
    const before = b!.targets[0]!;
    before.state.observeLatency(500, 0);
    discovery.find(list(2)[1]!);
    expect([ids(a.targets), ids(b!.targets)]).toEqual([["2"], ["2"]]);
    discovery.find(...list(2));
    expect(b!.targets[0]).not.toBe(before);
    expect([a.targets[0]!.state.latencyMs(0), b!.targets[0]!.state.latencyMs(0)]).toEqual([0, 0]);
  });
});

describe("a thread that is no more", () => {
  it("has its requests taken back, and no others", async () => {
    const [a, b] = await setUp(2).openAll({ targets: list(2) });
    a.targets[0]!.onStart();
    for (let i = 0; i < 3; i++) b!.targets[0]!.onStart();
    b!.targets[1]!.onStart();
    a.keeper.states.forgetThread(1);
    expect(a.targets.map(({ inFlight }) => inFlight)).toEqual([1, 0]);
    expect(a.inFlight).toBe(1);
    b!.targets[0]!.onStart(); // the next of its number
    expect([a.targets[0]!.inFlight, a.inFlight]).toEqual([2, 2]);
  });

  it("in the middle of an ejection keeps nobody from the next", async () => {
    const [a, b] = await setUp(2).openAll({ targets: list(2), health: { passive: { failures: 2 } } });
    const dead = new UpstreamRecord(a.keeper.shared, 1);
    expect(dead.tryLock()).toBe(true);
    fail(a, 0, 2);
    expect(ids(b!.eligible)).toEqual(["1", "2"]);
    a.keeper.states.forgetThread(0);
    fail(a, 0);
    expect(ids(b!.eligible)).toEqual(["1", "2"]);
    a.keeper.states.forgetThread(1);
    fail(a, 0);
    expect(ids(b!.eligible)).toEqual(["2"]);
  });
});

describe("the lock for ejections", () => {
  it("is one thread's at a time; who does not get it goes on", () => {
    const memory = createUpstreamRecord(0, 2);
    const [a, b] = [new UpstreamRecord(memory, 0), new UpstreamRecord(memory, 1)];
    expect([a.tryLock(), b.tryLock(), a.tryLock()]).toEqual([true, false, false]);
    a.unlock();
    expect(b.tryLock()).toBe(true);
  });

  it("is free again after each failure, whatever came of it", async () => {
    const [a] = await setUp(2).openAll({ targets: list(2), health: { passive: { failures: 1 } } });
    fail(a, 0, 3);
    fail(a, 1, 3); // the last that can be used
    expect(new UpstreamRecord(a.keeper.shared, 1).tryLock()).toBe(true);
  });
});

describe("requests under way, whatever order they begin and end in", () => {
  const THREADS = 3;
  const steps = fc.array(
    fc.oneof(
      {
        weight: 9,
        arbitrary: fc.record({ thread: fc.nat(THREADS - 1), target: fc.nat(1), ends: fc.boolean() }),
      },
      { weight: 1, arbitrary: fc.record({ dies: fc.nat(THREADS - 1) }) },
    ),
    { maxLength: 100 },
  );

  it("are those that have begun and not ended, on threads that live", () => {
    fc.assert(
      fc.property(steps, (all) => {
        const shared = createUpstreamRecord(0, THREADS);
        const records = [0, 1].map((serial) => createTargetRecord(serial, THREADS));
        const owners = Array.from({ length: THREADS }, (_, thread) => ({
          upstream: "users",
          log: new FakeLog(),
          clock: new FakeClock(),
          shared: new UpstreamRecord(shared, thread),
        }));
        const states = owners.map((owner) =>
          records.map((record, i) => new TargetState(`http://t${i}`, record, owner)),
        );
        const open = owners.map(() => [0, 0]);
        for (const step of all) {
          if ("dies" in step) {
            for (const state of states[0]!) state.forgetThread(step.dies);
            owners[0]!.shared.forgetThread(step.dies);
            open[step.dies] = [0, 0];
          } else {
            const { thread, target, ends } = step;
            const state = states[thread]![target]!;
            if (!ends) {
              state.startRequest();
              open[thread]![target]!++;
            } else if (open[thread]![target]! > 0) {
              state.endRequest();
              open[thread]![target]!--;
            }
          }
          const sums = [0, 1].map((i) => open.reduce((sum, each) => sum + each[i]!, 0));
          for (const [thread, own] of states.entries()) {
            expect(own.map(({ inFlight }) => inFlight)).toEqual(sums);
            expect(owners[thread]!.shared.inFlight).toBe(sums[0]! + sums[1]!);
          }
        }
      }),
    );
  });
});
