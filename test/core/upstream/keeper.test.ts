import { describe, expect, it } from "vitest";
import type { ConfigError } from "../../../core/errors.ts";
import { discovering, FakeDiscovery } from "./fake-discovery.ts";
import { ids, list, setUp } from "./test-upstream.ts";

describe("panic", () => {
  it("uses all targets that operators let work while too few are well, tells once, and ends", async () => {
    const { open, log, metrics } = setUp();
    const upstream = await open({ targets: list(4), panicThreshold: "50%" });
    const states = upstream.known;
    states[3]!.override("disabled", undefined);
    states[0]!.setHealthy(false);
    expect([upstream.panic, ids(upstream.eligible)]).toEqual([false, ["2", "3"]]);
    states[1]!.setHealthy(false);
    expect(upstream.accepts(upstream.targets[0]!)).toBe(true);
    expect([upstream.panic, ids(upstream.eligible)]).toEqual([true, ["1", "2", "3"]]);
    upstream.keeper.look();
    expect(upstream.accepts(upstream.targets[3]!)).toBe(false);
    expect((await metrics.render()).text).toContain('sluice_upstream_panic{upstream="users"} 1');
    states[2]!.setHealthy(false);
    upstream.keeper.look();
    expect(ids(upstream.eligible)).toEqual(["1", "2", "3"]);
    const told = () =>
      log.lines.filter(({ message }) => /too few|enough/.test(message)).map(({ level }) => level);
    expect(told()).toEqual(["error"]);
    states[0]!.setHealthy(true);
    states[1]!.setHealthy(true);
    upstream.keeper.look();
    expect([upstream.panic, ids(upstream.eligible)]).toEqual([false, ["1", "2"]]);
    expect(told()).toEqual(["error", "info"]);
    expect((await metrics.render()).text).toContain('sluice_upstream_panic{upstream="users"} 0');
  });

  it("is never with a threshold of 0%, and not for an upstream without targets at work", async () => {
    const { open } = setUp();
    const never = await open({ targets: list(1) });
    never.known[0]!.setHealthy(false);
    expect([never.panic, never.eligible]).toEqual([false, []]);
    const always = await open({ targets: list(1), panicThreshold: "100%" });
    expect(ids(always.eligible)).toEqual(["1"]);
    always.known[0]!.override(undefined, 0);
    expect([always.panic, always.eligible]).toEqual([false, []]);
  });

  it("is each generation's own; only the one that serves is told of", async () => {
    const { open, log } = setUp();
    const old = await open({ targets: list(2), panicThreshold: "100%" });
    old.known[0]!.setHealthy(false);
    old.keeper.look();
    expect(ids(old.eligible)).toEqual(["1", "2"]);
    const next = await open({ targets: list(2), panicThreshold: "0%" }, false);
    expect(ids(next.eligible)).toEqual(["2"]);
    const lines = (): string[] =>
      log.lines.map(({ message }) => message).filter((text) => /too few|enough/.test(text));
    expect(lines()).toHaveLength(1);
    next.activate();
    expect([next.panic, lines().length]).toEqual([false, 2]);
    for (const state of next.known) state.setHealthy(false);
    next.keeper.look();
    expect([ids(old.eligible), ids(next.eligible), lines().length]).toEqual([["1", "2"], [], 2]);
  });
});

describe("a generation that begins to serve", () => {
  it("tells of the panic that it found while it was prepared", async () => {
    const { open, log, metrics } = setUp();
    const parts = { targets: list(2), health: { passive: {} } };
    const old = await open({ ...parts, panicThreshold: "0%" });
    old.known[0]!.eject("failures", 1e9, 1e9);
    const next = await open({ ...parts, panicThreshold: "100%" }, false);
    expect(next.panic).toBe(true);
    const told = () => log.lines.filter(({ message }) => message.includes("too few")).length;
    expect(told()).toBe(0);
    next.activate();
    expect(next.eligible).toHaveLength(2);
    expect(told()).toBe(1);
    expect((await metrics.render()).text).toContain('sluice_upstream_panic{upstream="users"} 1');
  });
});

describe("an upstream for operators", () => {
  it("is shown with its targets", async () => {
    const upstream = await setUp().open({
      targets: ["http://127.0.0.1:1", { url: "http://127.0.0.1:2", weight: 3 }],
    });
    const [a, b] = upstream.known;
    a!.eject("failures", 1500, 1e6);
    b!.override("draining", 7);
    b!.startRequest();
    expect(upstream.keeper.describe()).toEqual({
      name: "users",
      panic: false,
      targets: [
        {
          id: "127.0.0.1:1",
          url: "http://127.0.0.1:1",
          eligible: false,
          state: "active",
          healthy: false,
          reason: "failures",
          ejectedForMs: 1500,
          weight: 1,
          configuredWeight: 1,
          inFlight: 0,
          latencyMs: 0,
        },
        {
          id: "127.0.0.1:2",
          url: "http://127.0.0.1:2",
          eligible: false,
          state: "draining",
          healthy: true,
          reason: null,
          ejectedForMs: 0,
          weight: 7,
          configuredWeight: 3,
          inFlight: 1,
          latencyMs: 0,
        },
      ],
    });
  });

  it("says why its discovery fails", async () => {
    const discovery = new FakeDiscovery(...list(1));
    const upstream = await discovering(discovery).open();
    expect(upstream.keeper.describe()).toMatchObject({ discovery: { failure: null } });
    discovery.failure = new Error("timed out");
    expect(upstream.keeper.describe()).toMatchObject({ discovery: { failure: "timed out" } });
  });

  it("has its targets set", async () => {
    const upstream = await setUp().open({ targets: list(2) });
    upstream.keeper.change({ target: "127.0.0.1:2", set: { weight: 5 } });
    expect(upstream.eligible.map(({ weight }) => weight)).toEqual([1, 5]);
    upstream.keeper.change({ target: "127.0.0.1:2", set: { weight: null, state: "disabled" } });
    expect(ids(upstream.eligible)).toEqual(["1"]);
    upstream.keeper.change({ target: "127.0.0.1:2", set: { state: "active" } });
    expect(upstream.eligible.map(({ weight }) => weight)).toEqual([1, 1]);
  });

  it.each<[string, unknown, [string, string, RegExp][]]>([
    ["nothing", {}, [["CONFIG_VALUE", "", /must not be empty/]]],
    ["a list", [], [["CONFIG_TYPE", "", /map/]]],
    ["a text", "disabled", [["CONFIG_TYPE", "", /map/]]],
    ["null", null, [["CONFIG_TYPE", "", /map/]]],
    ["an unknown key", { wieght: 1 }, [["CONFIG_UNKNOWN_KEY", "/wieght", /did you mean|Unknown key/]]],
    ["a weight that is none", { weight: 1.5 }, [["CONFIG_TYPE", "/weight", /./]]],
    ["a weight too large", { weight: 10_001 }, [["CONFIG_VALUE", "/weight", /at most 10000/]]],
    [
      "an unknown state",
      { state: "off", weight: -1 },
      [
        ["CONFIG_VALUE", "/weight", /at least 0/],
        ["CONFIG_VALUE", "/state", /active/],
      ],
    ],
  ])("refuses %s, and sets nothing", async (_what, set, problems) => {
    const upstream = await setUp().open({ targets: list(1) });
    const { version } = upstream;
    let error: unknown;
    try {
      upstream.keeper.change({ target: "127.0.0.1:1", set });
    } catch (thrown) {
      error = thrown;
    }
    expect((error as ConfigError).problems).toEqual(
      expect.arrayContaining(
        problems.map(([code, pointer, message]) =>
          expect.objectContaining({ code, pointer, message: expect.stringMatching(message) }),
        ),
      ),
    );
    expect((error as ConfigError).problems).toHaveLength(problems.length);
    expect(upstream.version).toBe(version);
  });

  it("refuses to set a target that it has not", async () => {
    const upstream = await setUp().open({ targets: list(1) });
    expect(() => upstream.keeper.change({ target: "127.0.0.1:2", set: { weight: 1 } })).toThrow(
      'There is no target "127.0.0.1:2"',
    );
  });
});
