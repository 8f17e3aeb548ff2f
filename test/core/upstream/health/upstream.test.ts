/** What becomes of an upstream's targets by what is known of their health. */
import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { LiveUpstream } from "../../../../core/upstream/upstream.ts";
import { startUpstream } from "../../../support/upstream.ts";
import { setUp } from "../test-upstream.ts";

/** Nobody listens there. */
const TARGETS = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"];

/** An upstream that serves, with three targets. */
async function open(parts: object, around = setUp()) {
  const upstream = await around.open({ targets: TARGETS, ...parts });
  const fail = (i: number, times: number): void => {
    for (let n = 0; n < times; n++) {
      const target = upstream.targets[i]!;
      target.onStart();
      target.onEnd(0, "UPSTREAM_CONNECT_FAILED");
    }
  };
  const { clock, log } = around;
  return { upstream, around, clock, fail, log, ids: () => idsOf(upstream) };
}

/** Which of the targets are eligible, as letters. */
const idsOf = ({ eligible }: LiveUpstream): string =>
  eligible.map(({ url }) => "abc"[TARGETS.indexOf(url)]).join("");

describe("an upstream with passive health", () => {
  it("takes a target that fails its requests out, and back when its time is over", async () => {
    const { fail, ids, clock, upstream } = await open({
      health: { passive: { failures: 3, ejectFor: "30s" } },
    });
    fail(1, 2);
    expect(ids()).toBe("abc");
    fail(1, 1);
    expect(ids()).toBe("ac");
    expect(upstream.accepts(upstream.targets[1]!)).toBe(false);
    clock.advance(29_999);
    expect(ids()).toBe("ac");
    clock.advance(1);
    expect(ids()).toBe("abc");
    fail(1, 2);
    expect(ids()).toBe("abc");
  });

  it("keeps ejections and counts across generations, and judges by the options that serve", async () => {
    const first = await open({ health: { passive: { failures: 3, maxEjected: "100%" } } });
    first.fail(1, 3);
    first.fail(2, 2);
    const second = await open({ health: { passive: { failures: 3, maxEjected: "100%" } } }, first.around);
    expect(second.ids()).toBe("ac");
    first.fail(2, 1); // a request that the old generation began
    expect(second.ids()).toBe("a");
    const third = await open({ health: {} }, first.around);
    expect(third.ids()).toBe("abc");
    first.fail(0, 9);
    expect(third.ids()).toBe("abc");
  });

  it("lets targets back when a reload leaves too few for so many ejections", async () => {
    const first = await open({ health: { passive: { failures: 1, maxEjected: "34%" } } });
    first.fail(1, 1);
    const targets = TARGETS.slice(0, 2);
    const second = await open({ targets, health: { passive: { maxEjected: "34%" } } }, first.around);
    expect(second.ids()).toBe("ab");
  });

  it("uses all targets when too few are healthy, and says so", async () => {
    const { fail, ids, clock, log, upstream } = await open({
      panicThreshold: "50%",
      health: { passive: { failures: 1, ejectFor: "10s", maxEjected: "100%" } },
    });
    fail(0, 1);
    expect(ids()).toBe("bc");
    fail(1, 1);
    expect(ids()).toBe("abc");
    upstream.keeper.look();
    expect(upstream.accepts(upstream.targets[0]!)).toBe(true);
    fail(0, 5); // says nothing about how it comes back
    clock.advance(10_000);
    upstream.keeper.look();
    expect(ids()).toBe("abc");
    const lines = log.lines.filter(({ message }) => /targets are healthy/.test(message));
    expect(lines).toEqual([
      {
        level: "error",
        message: "too few targets are healthy: all are used",
        fields: { upstream: "users", healthy: 1, targets: 3 },
      },
      {
        level: "info",
        message: "enough targets are healthy again",
        fields: { upstream: "users", healthy: 3, targets: 3 },
      },
    ]);
  });

  it("gives a target that comes back its share little by little", async () => {
    const { fail, upstream, clock } = await open({
      slowStart: "20s",
      health: { passive: { failures: 1, ejectFor: "10s" } },
    });
    const weight = (): number => {
      void upstream.eligible;
      return upstream.targets[1]!.weight;
    };
    expect(weight()).toBe(1);
    fail(1, 1);
    void upstream.eligible;
    clock.advance(10_000);
    const weights = [weight()];
    for (let i = 0; i < 4; i++) {
      clock.advance(5_000);
      weights.push(weight());
    }
    expect(weights.map((each) => Math.round(each * 21))).toEqual([1, 6, 11, 16, 21]);
    expect(upstream.targets[0]!.weight).toBe(1);
  });
});

describe("an upstream with active checks", () => {
  it("begins them when it serves, and not before", async () => {
    await using server = await startUpstream();
    const parts = { targets: [server.url], health: { active: { path: "/well" } } };
    const upstream = await setUp().open(parts, false);
    expect(upstream.keeper.states.monitor).toBeUndefined();
    upstream.activate();
    const asked = new Promise((resolve) => server.server.once("request", resolve));
    await asked;
    await upstream.close();
  });

  it("ends them with the last generation", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const health = { active: { interval: "1h" } };
    const { upstream: first, around } = await open({ health });
    const { upstream: second } = await open({ health }, around);
    await first.close();
    expect(vi.getTimerCount()).toBe(3);
    await second.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("goes on with the same checks in the next generation, unless they or TLS have changed", async () => {
    const health = { active: { interval: "1h" } };
    const first = await open({ health });
    const { monitor } = first.upstream.keeper.states;
    const second = await open({ health: { active: { interval: "1h" } }, connections: 7 }, first.around);
    expect(second.upstream.keeper.states).toBe(first.upstream.keeper.states);
    expect(second.upstream.keeper.states.monitor).toBe(monitor);
    await open({ health, tls: { serverName: "x.test" } }, first.around);
    expect(first.upstream.keeper.states.monitor).not.toBe(monitor);
    const changed = first.upstream.keeper.states.monitor;
    await open({ health: { active: { interval: "2h" } } }, first.around);
    expect(first.upstream.keeper.states.monitor).not.toBe(changed);
  });

  it("forgets their verdicts when they are taken away", async () => {
    const first = await open({ health: { active: { interval: "1h" } } });
    first.upstream.known[1]!.setHealthy(false, "status 500");
    expect(first.ids()).toBe("ac");
    const second = await open({ health: {} }, first.around);
    expect(second.upstream.keeper.states.monitor).toBeUndefined();
    expect(second.ids()).toBe("abc");
  });

  it("is left out by them and by ejections alike", async () => {
    const { ids, fail, upstream } = await open({
      health: { active: { interval: "1h" }, passive: { failures: 1 } },
    });
    upstream.known[0]!.setHealthy(false, "status 500");
    fail(1, 1);
    expect(ids()).toBe("c");
    fail(2, 10);
    expect(ids()).toBe("c");
  });
});
