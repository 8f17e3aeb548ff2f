import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { CheckedConfig } from "../../../core/config/checked.ts";
import { ConfigError } from "../../../core/errors.ts";
import { KeepStore, keyOf } from "../../../core/keep.ts";
import { Keepers } from "../../../core/upstream/keepers.ts";
import { surroundings } from "../../support/generation.ts";
import { TargetState } from "../../../core/upstream/target-state.ts";
import { list, upstreamConfig } from "./test-upstream.ts";

function setUp() {
  const around = { ...surroundings(new Map()), kept: new KeepStore() };
  const keepers = new Keepers({ ...around, threads: 2, advise: () => {} });
  onTestFinished(() => keepers.close());
  const configOf = (upstreams: Record<string, object>): CheckedConfig =>
    ({
      baseDir: process.cwd(),
      upstreams: Object.fromEntries(
        Object.entries(upstreams).map(([name, parts]) => [name, upstreamConfig(parts)]),
      ),
    }) as CheckedConfig;
  const open = (upstreams: Record<string, object>) => keepers.open(configOf(upstreams));
  return { ...around, keepers, configOf, open };
}

describe("keepers of upstreams", () => {
  it("show and change those of the generation that serves, and no others", async () => {
    const { keepers, open } = setUp();
    const first = await open({ a: { targets: list(1) } });
    expect(keepers.inspect()).toEqual({});
    first.activate();
    const second = await open({ b: { targets: list(2) } });
    expect(Object.keys(keepers.inspect())).toEqual(["a"]);
    second.activate();
    expect(Object.keys(keepers.inspect())).toEqual(["b"]);
    expect(keepers.change("a", {})).toBeUndefined();
    const changed = keepers.change("b", { target: "127.0.0.1:2", set: { weight: 3 } });
    expect(changed).toMatchObject({ targets: [{ weight: 1 }, { weight: 3 }] });
    await second.close();
    expect(keepers.inspect()).toEqual({});
  });

  it("tell the problems of all upstreams, each where it is written, and leave nothing open", async () => {
    const { kept, open } = setUp();
    const error = await open({
      good: { targets: list(1) },
      a: { targets: list(1), tls: { ca: "x" } },
      b: { targets: { file: "/none" }, onUnresolved: "fail" },
    }).catch((e) => e);
    expect(error).toBeInstanceOf(ConfigError);
    const { problems } = error as ConfigError;
    expect(problems.map(({ code, pointer }) => [code, pointer]).sort()).toEqual([
      ["CONFIG_CERTIFICATE", "/upstreams/a/tls/ca"],
      ["CONFIG_UNRESOLVED", "/upstreams/b/targets"],
    ]);
    expect(kept.keys()).toEqual([]);
  });

  it("close each upstream by itself: one that takes long does not keep the others open", async () => {
    const { kept, configOf, keepers } = setUp();
    const config = configOf({ quick: { targets: list(1) }, slow: { targets: { file: "none" } } });
    const lease = kept.lease();
    const { promise: over, resolve } = Promise.withResolvers<void>();
    lease.keep(keyOf("discovery slow", config.upstreams["slow"]!.targets), () => ({
      found: [],
      ready: Promise.resolve(),
      subscribe: () => () => {},
      close: () => over,
    }));
    const opened = await keepers.open(config);
    await lease.release();
    expect(kept.keys()).toContain("targets quick");
    const closed = opened.close();
    await expect.poll(() => kept.keys()).not.toContain("targets quick");
    resolve();
    await closed;
  });

  it("close many targets with a look at each, not at all for each", async () => {
    const { open } = setUp();
    const [old] = [await open({ a: { targets: list(200) } }), await open({ a: { targets: list(200) } })];
    const look = vi.spyOn(TargetState.prototype, "inFlight", "get");
    onTestFinished(() => look.mockRestore());
    await old!.close();
    expect(look.mock.calls.length).toBeLessThanOrEqual(200);
  });

  it("look at the targets of the generation that serves several times a second, as long as there is one", async () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const { open, log, clock } = setUp();
    const told = (): string[] => log.lines.map(({ message }) => message);
    const opened = await open({ a: { targets: list(2), health: { passive: { maxEjected: "100%" } } } });
    opened.activate();
    const keeper = opened.feeds.get("a") as import("../../../core/upstream/keeper.ts").Keeper;
    keeper.members[0]!.state.eject("failures", 1000, 1000);
    (clock as import("../../support/harness.ts").FakeClock).advance(1000);
    expect(told()).toEqual(["target is ejected"]);
    vi.advanceTimersByTime(250);
    expect(told()).toEqual(["target is ejected", "ejection of target is over"]);
    expect(vi.getTimerCount()).toBe(1);
    await opened.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});
