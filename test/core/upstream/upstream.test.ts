import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type { ConfigError } from "../../../core/errors.ts";
import { bodyText, exchange } from "../../support/harness.ts";
import { type ServerResponse, startUpstream } from "../../support/upstream.ts";
import { discovering, FakeDiscovery } from "./fake-discovery.ts";
import { ids, list, setUp } from "./test-upstream.ts";

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
    expect(kept.keys().join() + upstream.keeper.states.monitor?.key).not.toContain("hunter2");
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
    const [a, b, c, d, e] = upstream.known;
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
    upstream.known[0]!.setHealthy(false);
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
    upstream.known[0]!.override(undefined, 5);
    expect(weights()).toEqual([5, 3]);
    upstream.known[0]!.override(undefined, null);
    expect(weights()).toEqual([1, 3]);
  });

  it("come back when their ejection has passed, by time alone", async () => {
    const { open, clock, log } = setUp();
    const upstream = await open({ targets: list(2) });
    const [a, b] = upstream.targets;
    a!.state.eject("failures", 1000, 1e6);
    b!.state.eject("failures", 3000, 1e6);
    expect(upstream.eligible).toEqual([]);
    const { version } = upstream;
    clock.advance(999);
    expect([upstream.eligible, upstream.version]).toEqual([[], version]);
    clock.advance(1);
    expect(ids(upstream.eligible)).toEqual(["1"]);
    expect(upstream.version).toBeGreaterThan(version);
    clock.advance(2000);
    expect(ids(upstream.eligible)).toEqual(["1", "2"]);
    const isOver = () => log.lines.filter(({ message }) => message.includes("is over")).length;
    expect(isOver()).toBe(0);
    for (let i = 0; i < 2; i++) upstream.keeper.look();
    expect(isOver()).toBe(2);
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
    upstream.targets[0]!.state.eject("failures", 9001, 1e6);
    expect(retryAfter()).toBe("10");
    upstream.targets[1]!.state.eject("failures", 3000, 1e6);
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
    upstream.known[0]!.setHealthy(false);
    expect(upstream.eligible).toEqual([]);
    upstream.known[0]!.setHealthy(true);
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
    second.targets[0]!.state.eject("failures", 100, 1e6);
    second.known[1]!.override("disabled", undefined);
    expect(full()).toEqual([true]);
    clock.advance(100);
    second.known[1]!.override("active", undefined);
    expect(full()).toEqual([false, false, true]);
  });

  it("is not without the option", async () => {
    const upstream = await setUp().open({ targets: list(1) });
    upstream.known[0]!.setHealthy(false);
    expect(upstream.eligible).toEqual([]);
    upstream.known[0]!.setHealthy(true);
    expect(upstream.eligible[0]!.weight).toBe(1);
  });
});

describe("what is known of targets", () => {
  it("outlives a generation and changes of other options", async () => {
    const { open } = setUp();
    const first = await open({ targets: list(3) });
    first.known[0]!.override("draining", undefined);
    first.known[1]!.override(undefined, 9);
    first.known[2]!.setHealthy(false);
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
    upstream.known[0]!.override(undefined, 8);
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
    const state = old.known[0]!;
    state.startRequest();
    discovery.find(list(2)[1]!);
    state.setHealthy(false, "status 500");
    state.eject("failures", 1e9, 1e9);
    const next = await open();
    discovery.find(...list(2));
    expect(next.known[0]).toBe(state);
    expect(ids(next.eligible)).toEqual(["1", "2"]);
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
    expect([upstream.eligible, upstream.keeper.discovery?.failure?.message]).toEqual([[], "no such file"]);
    await upstream.close();
    const error = await open({ onUnresolved: "fail" }).catch((e) => e);
    expect((error as ConfigError).problems).toMatchObject([
      { code: "CONFIG_UNRESOLVED", pointer: "/targets" },
    ]);
    expect((error as ConfigError).message).toContain("no such file");
    expect(kept.keys()).toEqual(before);
  });
});
