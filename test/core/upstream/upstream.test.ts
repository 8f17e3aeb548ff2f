import { once } from "node:events";
import { describe, expect, it, onTestFinished } from "vitest";
import type { UpstreamConfig } from "../../../core/config/checked.ts";
import { upstreamSchema } from "../../../core/config/upstream-schema.ts";
import { createValidator } from "../../../core/config/validate.ts";
import type { ConfigError } from "../../../core/errors.ts";
import { KeepStore, keyOf } from "../../../core/keep.ts";
import type { Discovery, Found } from "../../../core/upstream/discovery/discovery.ts";
import { type LiveUpstream, openUpstream } from "../../../core/upstream/upstream.ts";
import { surroundings } from "../../support/generation.ts";
import { bodyText, exchange } from "../../support/harness.ts";
import { type ServerResponse, startUpstream } from "../../support/upstream.ts";

function upstreamConfig(parts: object): UpstreamConfig {
  const config = { ...parts };
  expect(createValidator(upstreamSchema)(config)).toEqual([]);
  return config as UpstreamConfig;
}

/** What the generations of one gateway share. */
function setUp() {
  const around = { ...surroundings(new Map()), baseDir: process.cwd() };
  const clock = around.clock as import("../../support/harness.ts").FakeClock;
  const open = async (parts: object, isServing = true): Promise<LiveUpstream> => {
    const upstream = await openUpstream("users", upstreamConfig(parts), around);
    onTestFinished(() => upstream.close());
    if (isServing) upstream.activate();
    return upstream;
  };
  return { ...around, clock, open };
}

/** Targets where nobody listens. */
const list = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `http://127.0.0.1:${i + 1}`);

const ids = (targets: readonly { id: string }[]): string[] => targets.map(({ id }) => id.slice(-1));

describe("an upstream", () => {
  it("has its targets in order, and sends to each below its base path", async () => {
    await using server = await startUpstream();
    const upstream = await setUp().open({ targets: [server.url, { url: `${server.url}/base/` }] });
    expect(upstream.name).toBe("users");
    expect(upstream.targets.map(({ url }) => url)).toEqual([server.url, `${server.url}/base`]);
    for (const target of upstream.targets) {
      const x = exchange({ target: "/a?b" });
      await bodyText(await target.forward(x));
      expect([x.upstream, x.target?.url]).toEqual(["users", target.url]);
    }
    expect(server.seen.map(({ url }) => url)).toEqual(["/a?b", "/base/a?b"]);
    expect(upstream.stats.count).toBe(2);
  });

  it("counts how often an exchange was sent to a target", async () => {
    await using server = await startUpstream();
    const upstream = await setUp().open({ targets: [server.url] });
    const x = exchange();
    for (let i = 0; i < 2; i++) await bodyText(await upstream.targets[0]!.forward(x));
    expect(x.attempts).toBe(2);
  });

  it("goes on with its connections in the next generation, unless how to connect has changed", async () => {
    const { open, kept } = setUp();
    const base = { targets: ["http://127.0.0.1:9"] };
    const all = [];
    for (const parts of [{}, {}, { slowStart: "5s" }, { connections: 3 }, { timeouts: { connect: "1s" } }])
      all.push(await open({ ...base, ...parts }));
    const pools = all.map(({ targets }) => targets[0]!.pool);
    expect(pools.map((pool) => pools.indexOf(pool))).toEqual([0, 0, 0, 3, 4]);
    for (const upstream of all) await upstream.close();
    expect(kept.keys()).toEqual([]);
  });

  it("connects as configured", async () => {
    let open = 0;
    let most = 0;
    await using server = await startUpstream((_request, response) => {
      most = Math.max(most, ++open);
      setImmediate(() => {
        open--;
        response.end();
      });
    });
    const parts = { targets: [server.url], connections: 1, timeouts: { connect: "10s" } };
    const upstream = await setUp().open(parts);
    await Promise.all([1, 2, 3].map(async () => bodyText(await upstream.targets[0]!.forward(exchange()))));
    expect(most).toBe(1);
  });

  it("that cannot be opened says why, leaves nothing open, and does not disturb what serves", async () => {
    const { open, kept } = setUp();
    const serving = await open({ targets: list(1) });
    const before = kept.keys();
    const error = await open({ targets: list(2), tls: { ca: "x", serverName: "127.0.0.1" } }).catch((e) => e);
    expect((error as ConfigError).problems.map(({ code, pointer }) => [code, pointer])).toEqual([
      ["CONFIG_CERTIFICATE", "/tls/ca"],
      ["CONFIG_CERTIFICATE", "/tls/serverName"],
    ]);
    expect(kept.keys()).toEqual(before);
    expect(ids(serving.eligible)).toEqual(["1"]);
    await serving.close();
    expect(kept.keys()).toEqual([]);
  });

  it("says loudly that certificates are not verified", async () => {
    const { open, log } = setUp();
    await open({ targets: ["https://127.0.0.1:9"], tls: { verify: false } });
    expect(log.lines).toMatchObject([{ level: "warn", fields: { upstream: "users" } }]);
    expect(log.lines[0]!.message).toContain("not verified");
  });

  it("keeps things under keys that hold no secrets", async () => {
    const { open, kept } = setUp();
    const consul = { service: "users", token: "hunter2", url: "http://127.0.0.1:1" };
    await open({ targets: { consul } });
    const headers = { authorization: "hunter2" };
    const upstream = await open({ targets: list(1), health: { active: { headers, interval: "1h" } } });
    expect(kept.keys().filter((key) => key.startsWith("discovery users"))).toHaveLength(1);
    expect(kept.keys().join() + upstream.states.monitor?.key).not.toContain("hunter2");
  });

  it("makes what TLS needs once for all its targets, and lets go of it", async () => {
    const { open, kept } = setUp();
    const first = await open({
      targets: ["https://127.0.0.1:9", "https://127.0.0.1:10", "http://127.0.0.1:9"],
    });
    const keys = kept.keys().filter((key) => key.startsWith("tls "));
    expect(keys).toHaveLength(1);
    const second = await open({ targets: ["https://127.0.0.1:9"], tls: { minVersion: "TLSv1.3" } });
    expect(second.targets[0]!.pool).not.toBe(first.targets[0]!.pool);
    await first.close();
    await second.close();
    expect(kept.keys()).toEqual([]);
  });
});

describe("eligible targets", () => {
  it("are those that are well, that operators let work, and that have a weight", async () => {
    const { open } = setUp();
    const targets = [...list(4), { url: "http://127.0.0.1:5", weight: 0 }];
    const upstream = await open({ targets });
    expect(ids(upstream.eligible)).toEqual(["1", "2", "3", "4"]);
    const [a, b, c, d, e] = upstream.targets.map(({ state }) => state);
    a!.setHealthy(false);
    b!.override("draining", undefined);
    c!.override("disabled", undefined);
    d!.override(undefined, 0);
    e!.override(undefined, 2);
    expect(ids(upstream.eligible)).toEqual(["5"]);
    expect(upstream.targets.map((target) => upstream.accepts(target))).toEqual([
      false,
      true,
      false,
      true,
      true,
    ]);
    b!.setHealthy(false);
    expect(upstream.accepts(upstream.targets[1]!)).toBe(false);
  });

  it("stay the same array, with the same version, until something changes", async () => {
    const { open, clock } = setUp();
    const upstream = await open({ targets: list(2) });
    const [before, version] = [upstream.eligible, upstream.version];
    clock.advance(1e9);
    expect(upstream.eligible).toBe(before);
    expect(upstream.version).toBe(version);
    upstream.targets[0]!.state.setHealthy(false);
    expect(upstream.version).toBeGreaterThan(version);
    expect(upstream.eligible).not.toBe(before);
  });

  it("have the weights of the configuration, or an operator's", async () => {
    const { open } = setUp();
    const upstream = await open({
      targets: ["http://127.0.0.1:1", { url: "http://127.0.0.1:2", weight: 3 }],
    });
    const weights = (): number[] => [...upstream.eligible].map(({ weight }) => weight);
    expect(weights()).toEqual([1, 3]);
    upstream.targets[0]!.state.override(undefined, 5);
    expect(weights()).toEqual([5, 3]);
    upstream.targets[0]!.state.override(undefined, null);
    expect(weights()).toEqual([1, 3]);
  });

  it("come back when their ejection has passed, by time alone", async () => {
    const { open, clock, log } = setUp();
    const upstream = await open({ targets: list(2) });
    const [a, b] = upstream.targets;
    a!.state.eject(clock.monotonic() + 1000, "failures");
    b!.state.eject(clock.monotonic() + 3000, "failures");
    expect(upstream.eligible).toEqual([]);
    const { version } = upstream;
    clock.advance(999);
    expect([upstream.eligible, upstream.version]).toEqual([[], version]);
    clock.advance(1);
    expect(ids(upstream.eligible)).toEqual(["1"]);
    expect(upstream.version).toBeGreaterThan(version);
    expect(a!.state.ejectedUntil).toBe(0);
    clock.advance(2000);
    expect(ids(upstream.eligible)).toEqual(["1", "2"]);
    expect(log.lines.filter(({ message }) => message.includes("is over"))).toHaveLength(2);
  });

  it("if there are none, the refusal says when to come back", async () => {
    const { open, clock } = setUp();
    const upstream = await open({ targets: list(2) });
    const retryAfter = (): string => {
      const { code, status, headers } = upstream.unavailable();
      expect([code, status, headers[0]]).toEqual(["UPSTREAM_UNAVAILABLE", 503, "retry-after"]);
      return headers[1]!;
    };
    expect(retryAfter()).toBe("1");
    upstream.targets[0]!.state.eject(clock.monotonic() + 9001, "failures");
    expect(retryAfter()).toBe("10");
    upstream.targets[1]!.state.eject(clock.monotonic() + 3000, "failures");
    expect(retryAfter()).toBe("3");
    clock.advance(20_000);
    expect(retryAfter()).toBe("1");
  });
});

describe("slow start", () => {
  it("gives a target that comes back its share step by step", async () => {
    const { open, clock } = setUp();
    const upstream = await open({ targets: [{ url: "http://127.0.0.1:1", weight: 21 }], slowStart: "20s" });
    const weight = (): number => upstream.eligible[0]!.weight;
    expect(weight()).toBe(21);
    upstream.targets[0]!.state.setHealthy(false);
    expect(upstream.eligible).toEqual([]);
    upstream.targets[0]!.state.setHealthy(true);
    const seen: number[] = [];
    let { version } = upstream;
    for (let second = 0; second <= 20; second++) {
      seen.push(Math.round(weight() * 1e6) / 1e6);
      if (second > 0) expect(upstream.version).toBe(version + 1);
      version = upstream.version;
      clock.advance(1000);
    }
    expect(seen).toEqual([...Array.from({ length: 20 }, (_, i) => i + 1), 21]);
    clock.advance(1e6);
    expect(upstream.version).toBe(version);
  });

  it("is for targets that are new, readmitted or let work again, not for those of the start", async () => {
    const { open, clock } = setUp();
    const first = await open({ targets: list(2), slowStart: "10s" });
    expect(first.eligible.map(({ weight }) => weight)).toEqual([1, 1]);
    const second = await open({ targets: list(3), slowStart: "10s" });
    const full = (): boolean[] => [...second.eligible].map(({ weight }) => weight === 1);
    expect(full()).toEqual([true, true, false]);
    clock.advance(10_000);
    expect(full()).toEqual([true, true, true]);
    second.targets[0]!.state.eject(clock.monotonic() + 100, "failures");
    second.targets[1]!.state.override("disabled", undefined);
    expect(full()).toEqual([true]);
    clock.advance(100);
    second.targets[1]!.state.override("active", undefined);
    expect(full()).toEqual([false, false, true]);
  });

  it("is not without the option", async () => {
    const upstream = await setUp().open({ targets: list(1) });
    upstream.targets[0]!.state.setHealthy(false);
    expect(upstream.eligible).toEqual([]);
    upstream.targets[0]!.state.setHealthy(true);
    expect(upstream.eligible[0]!.weight).toBe(1);
  });
});

describe("panic", () => {
  it("uses all targets that operators let work while too few are well, tells once, and ends", async () => {
    const { open, log, metrics } = setUp();
    const upstream = await open({ targets: list(4), panicThreshold: "50%" });
    const states = upstream.targets.map(({ state }) => state);
    states[3]!.override("disabled", undefined);
    states[0]!.setHealthy(false);
    expect([upstream.panic, ids(upstream.eligible)]).toEqual([false, ["2", "3"]]);
    states[1]!.setHealthy(false);
    expect(upstream.accepts(upstream.targets[0]!)).toBe(true);
    expect([upstream.panic, ids(upstream.eligible)]).toEqual([true, ["1", "2", "3"]]);
    expect(upstream.accepts(upstream.targets[3]!)).toBe(false);
    expect((await metrics.render()).text).toContain('sluice_upstream_panic{upstream="users"} 1');
    states[2]!.setHealthy(false);
    expect(ids(upstream.eligible)).toEqual(["1", "2", "3"]);
    const told = () =>
      log.lines.filter(({ message }) => /too few|enough/.test(message)).map(({ level }) => level);
    expect(told()).toEqual(["error"]);
    states[0]!.setHealthy(true);
    states[1]!.setHealthy(true);
    expect([upstream.panic, ids(upstream.eligible)]).toEqual([false, ["1", "2"]]);
    expect(told()).toEqual(["error", "info"]);
    expect((await metrics.render()).text).toContain('sluice_upstream_panic{upstream="users"} 0');
  });

  it("is never with a threshold of 0%, and not for an upstream without targets at work", async () => {
    const { open } = setUp();
    const never = await open({ targets: list(1) });
    never.targets[0]!.state.setHealthy(false);
    expect([never.panic, never.eligible]).toEqual([false, []]);
    const always = await open({ targets: list(1), panicThreshold: "100%" });
    expect(ids(always.eligible)).toEqual(["1"]);
    always.targets[0]!.state.override(undefined, 0);
    expect([always.panic, always.eligible]).toEqual([false, []]);
  });

  it("is each generation's own; only the one that serves is told of", async () => {
    const { open, log } = setUp();
    const old = await open({ targets: list(2), panicThreshold: "100%" });
    old.targets[0]!.state.setHealthy(false);
    expect(ids(old.eligible)).toEqual(["1", "2"]);
    const next = await open({ targets: list(2), panicThreshold: "0%" }, false);
    expect(ids(next.eligible)).toEqual(["2"]);
    const lines = (): string[] =>
      log.lines.map(({ message }) => message).filter((text) => /too few|enough/.test(text));
    expect(lines()).toHaveLength(1);
    next.activate();
    expect([next.panic, lines().length]).toEqual([false, 2]);
    for (const { state } of next.targets) state.setHealthy(false);
    expect([ids(old.eligible), ids(next.eligible), lines().length]).toEqual([["1", "2"], [], 2]);
  });
});

describe("a generation that begins to serve", () => {
  it("tells of the panic that it found while it was prepared", async () => {
    const { open, log, metrics } = setUp();
    const parts = { targets: list(2), health: { passive: {} } };
    const old = await open({ ...parts, panicThreshold: "0%" });
    old.targets[0]!.state.eject(1e15, "failures");
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

describe("what is known of targets", () => {
  it("outlives a generation and changes of other options", async () => {
    const { open } = setUp();
    const first = await open({ targets: list(3) });
    first.targets[0]!.state.override("draining", undefined);
    first.targets[1]!.state.override(undefined, 9);
    first.targets[2]!.state.setHealthy(false);
    const second = await open({
      targets: list(3),
      timeouts: { connect: "1s" },
      health: { active: { interval: "1h" } },
    });
    await first.close();
    expect(second.eligible.map(({ id, weight }) => [id.slice(-1), weight])).toEqual([["2", 9]]);
  });

  it("is forgotten for targets that nobody has any more", async () => {
    const { open, kept, metrics } = setUp();
    const first = await open({ targets: list(2) });
    const second = await open({ targets: list(1) });
    await first.close();
    const { text } = await metrics.render();
    expect(text.match(/sluice_upstream_target_up\{.*\}/g)).toEqual([
      'sluice_upstream_target_up{upstream="users",target="127.0.0.1:1"}',
    ]);
    await second.close();
    expect(kept.keys()).toEqual([]);
    expect((await metrics.render()).text).not.toContain("sluice_upstream_target_up{");
  });
});

/** A discovery whose finds a test decides on. */
class FakeDiscovery implements Discovery {
  found: readonly Found[];
  failure: Error | undefined;
  readonly ready = Promise.resolve();
  readonly listeners = new Set<() => void>();
  closed = 0;

  constructor(...urls: string[]) {
    this.found = urls.map((url) => ({ url, weight: 1 }));
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  find(...found: (string | Found)[]): void {
    this.found = found.map((each) => (typeof each === "string" ? { url: each, weight: 1 } : each));
    for (const listener of this.listeners) listener();
  }

  async close(): Promise<void> {
    this.closed++;
  }
}

/** Opens upstreams whose targets come from `discovery`. */
function discovering(discovery: FakeDiscovery) {
  const around = setUp();
  const targets = { file: "targets.json" };
  const lease = around.kept.lease();
  lease.keep(keyOf("discovery users", targets), () => discovery);
  onTestFinished(() => lease.release());
  return { ...around, open: (parts: object = {}) => around.open({ targets, ...parts }) };
}

describe("targets that come and go", () => {
  it("are followed: those that stay go on, in the order in which they are found", async () => {
    const discovery = new FakeDiscovery("http://127.0.0.1:1", "http://127.0.0.1:2/");
    const { open } = discovering(discovery);
    const upstream = await open();
    const [a, b] = upstream.targets;
    expect(ids(upstream.eligible)).toEqual(["1", "2"]);
    const { version } = upstream;
    discovery.find({ url: "http://127.0.0.1:2", weight: 4 }, "http://127.0.0.1:3", "http://127.0.0.1:1");
    expect(upstream.version).toBeGreaterThan(version);
    expect(upstream.targets[0]).toBe(b);
    expect(upstream.targets[2]).toBe(a);
    expect(upstream.eligible.map(({ id, weight }) => [id.slice(-1), weight])).toEqual([
      ["2", 4],
      ["3", 1],
      ["1", 1],
    ]);
    discovery.find();
    expect([upstream.targets, upstream.eligible]).toEqual([[], []]);
  });

  it("are there once, however often they are found", async () => {
    const discovery = new FakeDiscovery("http://127.0.0.1:1", "http://127.0.0.1:1/");
    const upstream = await discovering(discovery).open();
    expect(ids(upstream.targets)).toEqual(["1"]);
    discovery.find("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:1");
    expect(ids(upstream.targets)).toEqual(["1", "2"]);
  });

  it("leave when their last request has ended", async () => {
    let take!: (response: ServerResponse) => void;
    const taken = new Promise<ServerResponse>((resolve) => (take = resolve));
    await using server = await startUpstream((_request, response) => {
      response.write("be");
      take(response);
    });
    const discovery = new FakeDiscovery(server.url);
    const { open, kept, metrics } = discovering(discovery);
    const upstream = await open();
    const target = upstream.targets[0]!;
    const reply = await target.forward(exchange());
    discovery.find("http://127.0.0.1:2");
    expect(ids(upstream.eligible)).toEqual(["2"]);
    expect(kept.keys().filter((key) => key.includes(server.url))).toEqual([]);
    expect((await metrics.render()).text).toContain(`target="127.0.0.1:${server.port}"} 1`);
    const socketClosed = once((await taken).socket!, "close");
    (await taken).end("fore");
    expect(await bodyText(reply)).toBe("before");
    await socketClosed;
    expect(target.inFlight).toBe(0);
    await expect.poll(async () => (await metrics.render()).text).not.toContain(`127.0.0.1:${server.port}`);
  });

  it("come back as operators left them, and warm up", async () => {
    const discovery = new FakeDiscovery(...list(2));
    const { open, metrics } = discovering(discovery);
    const upstream = await open({ slowStart: "10s" });
    upstream.targets[0]!.state.override(undefined, 8);
    expect(upstream.eligible.map(({ weight }) => weight)).toEqual([8, 1]);
    discovery.find(list(2)[1]!);
    await expect.poll(async () => (await metrics.render()).text).not.toContain('target="127.0.0.1:1"');
    discovery.find(...list(2));
    const { weight } = upstream.eligible[0]!;
    expect([weight > 0, weight < 8]).toEqual([true, true]);
  });

  it("come back without the verdict of checks that are no more", async () => {
    const discovery = new FakeDiscovery(...list(2));
    const { open } = discovering(discovery);
    const old = await open({ health: { active: { interval: "1h" }, passive: {} } });
    const state = old.targets[0]!.state;
    discovery.find(list(2)[1]!);
    const release = old.states.acquire(state.url); // as a request under way keeps it
    state.setHealthy(false, "status 500");
    state.eject(1e15, "failures");
    const next = await open();
    discovery.find(...list(2));
    expect(next.targets[0]!.state).toBe(state);
    expect(ids(next.eligible)).toEqual(["1", "2"]);
    next.states.release(release);
  });

  it("are not followed by a generation that is closed; the discovery goes on for the others", async () => {
    const discovery = new FakeDiscovery(...list(1));
    const { open } = discovering(discovery);
    const [old, next] = [await open(), await open()];
    await old.close();
    discovery.find(...list(2));
    expect([ids(old.targets), ids(next.targets), discovery.closed]).toEqual([["1"], ["1", "2"], 0]);
    expect(discovery.listeners.size).toBe(1);
  });

  it("may be none at first, unless the configuration is to fail then", async () => {
    const discovery = new FakeDiscovery();
    discovery.failure = new Error("no such file");
    const { open, kept } = discovering(discovery);
    const before = kept.keys();
    const upstream = await open();
    expect([upstream.eligible, upstream.discovery?.failure?.message]).toEqual([[], "no such file"]);
    await upstream.close();
    const error = await open({ onUnresolved: "fail" }).catch((e) => e);
    expect((error as ConfigError).problems).toMatchObject([
      { code: "CONFIG_UNRESOLVED", pointer: "/targets" },
    ]);
    expect((error as ConfigError).message).toContain("no such file");
    expect(kept.keys()).toEqual(before);
  });
});

describe("an upstream for operators", () => {
  it("is shown with its targets", async () => {
    const { open, clock } = setUp();
    const upstream = await open({
      targets: ["http://127.0.0.1:1", { url: "http://127.0.0.1:2", weight: 3 }],
    });
    const [a, b] = upstream.targets;
    a!.state.eject(clock.monotonic() + 1500, "failures");
    b!.state.override("draining", 7);
    b!.state.startRequest();
    expect(upstream.describe()).toEqual({
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
    expect(upstream.describe()).toMatchObject({ discovery: { failure: null } });
    discovery.failure = new Error("timed out");
    expect(upstream.describe()).toMatchObject({ discovery: { failure: "timed out" } });
  });

  it("has its targets set", async () => {
    const upstream = await setUp().open({ targets: list(2) });
    upstream.change({ target: "127.0.0.1:2", set: { weight: 5 } });
    expect(upstream.eligible.map(({ weight }) => weight)).toEqual([1, 5]);
    upstream.change({ target: "127.0.0.1:2", set: { weight: null, state: "disabled" } });
    expect(ids(upstream.eligible)).toEqual(["1"]);
    upstream.change({ target: "127.0.0.1:2", set: { state: "active" } });
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
      upstream.change({ target: "127.0.0.1:1", set });
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
    expect(() => upstream.change({ target: "127.0.0.1:2", set: { weight: 1 } })).toThrow(
      'There is no target "127.0.0.1:2"',
    );
  });
});

describe("a store of what outlives generations", () => {
  it("is empty when all upstreams are closed", async () => {
    const kept = new KeepStore();
    const context = { ...surroundings(new Map()), kept, baseDir: process.cwd() };
    const upstream = await openUpstream("a", upstreamConfig({ targets: list(3) }), context);
    expect(kept.keys().length).toBeGreaterThan(3);
    await upstream.close();
    expect(kept.keys()).toEqual([]);
  });
});
