import { createServer } from "node:net";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { ConfigLoadError, type LoadedConfig, loadConfig, loadConfigObject } from "../../core/config/load.ts";
import type { CheckedConfig } from "../../core/config/checked.ts";
import { Control } from "../../core/control.ts";
import { ConfigError } from "../../core/errors.ts";
import type { DataThread, Prepared } from "../../core/gateway.ts";
import { KeepStore } from "../../core/keep.ts";
import type { LogLevel, RootLog } from "../../core/observe/log.ts";
import { MergedMetrics } from "../../core/observe/merged-metrics.ts";
import { GatewayMetrics } from "../../core/observe/metrics.ts";
import { OwnThread } from "../../core/observe/observed-thread.ts";
import type { Feeds } from "../../core/upstream/feed.ts";
import { Keepers } from "../../core/upstream/keepers.ts";
import { MemoryStores } from "../../core/store/memory-stores.ts";
import { FakeSockets } from "../support/sockets.ts";
import { catalogueOf, fakePlugin } from "../support/generation.ts";
import { config } from "../support/gateway.ts";
import { FakeClock, FakeLog } from "../support/harness.ts";

class FakeRootLog extends FakeLog implements RootLog {
  level: LogLevel = "info";
  append(): void {}
  setLevel(level: LogLevel): void {
    this.level = level;
  }
  flush(): void {}
  async drain(): Promise<void> {}
}

/** A thread that writes down what it is told. */
class FakeThread implements DataThread {
  readonly urls = ["http://127.0.0.1:1"];
  readonly trace: string[];
  readonly name: string;
  /** Decides about the next configuration: resolves, or rejects. */
  onPrepare: (config: CheckedConfig, feeds: Feeds) => Promise<void> = async () => {};
  serves = 0;
  /** Has what a generation was told of its upstreams closed. */
  readonly retire: (() => void)[] = [];

  constructor(name: string, trace: string[]) {
    this.name = name;
    this.trace = trace;
  }

  async prepare(config: CheckedConfig, number: number, feeds: Feeds): Promise<Prepared> {
    this.trace.push(`${this.name} prepare ${number}`);
    await this.onPrepare(config, feeds);
    const { promise: retired, resolve } = Promise.withResolvers<void>();
    this.retire.push(resolve);
    return {
      urls: this.urls,
      retired,
      activate: () => {
        this.trace.push(`${this.name} activate ${number}`);
        this.serves = number;
      },
      discard: async () => void this.trace.push(`${this.name} discard ${number}`),
    };
  }

  /** What there is to look at and change. */
  readonly things: Record<string, object> = {};

  async inspect(collection: string): Promise<Record<string, object>> {
    this.trace.push(`${this.name} inspect ${collection}`);
    return this.things;
  }

  async ask(collection: string, id: string, question: unknown): Promise<object[]> {
    this.trace.push(`${this.name} ask ${collection} ${id} ${JSON.stringify(question)}`);
    return [];
  }

  async change(collection: string, id: string, patch: unknown): Promise<object | undefined> {
    this.trace.push(`${this.name} change ${collection} ${id} ${JSON.stringify(patch)}`);
    return this.things[id];
  }

  async stop(drainMs: number): Promise<number> {
    this.trace.push(`${this.name} stop ${drainMs}`);
    return 1;
  }
}

const catalogue = catalogueOf(fakePlugin("answer", () => (next) => next, { terminal: true }));

const sourceOf = (id: string, parts: object = {}): object =>
  config({
    routes: [{ name: "all", match: { path: "/*" }, pipeline: [{ plugin: "answer", id }] }],
    ...parts,
  });

const loadedOf = (id: string, parts: object = {}): Promise<LoadedConfig> =>
  loadConfigObject(sourceOf(id, parts), { catalogue });

function setUp() {
  const trace: string[] = [];
  const data = new FakeThread("a", trace);
  const [log, clock, metrics] = [new FakeRootLog(), new FakeClock(), new GatewayMetrics()];
  const next = { load: () => loadedOf("1"), loads: 0 };
  const load = (): Promise<LoadedConfig> => {
    next.loads++;
    return next.load();
  };
  const kept = new KeepStore();
  const keepers = new Keepers({ kept, log, clock, metrics, threads: 1, random: () => 0.5, advise: () => {} });
  const merged = new MergedMetrics(metrics, "0");
  const own = new OwnThread("0", metrics, clock);
  onTestFinished(() => own.close());
  const control = new Control({
    load,
    own,
    sockets: new FakeSockets(),
    data,
    keepers,
    stores: new MemoryStores(clock, metrics),
    log,
    clock,
    metrics: merged,
  });
  onTestFinished(async () => void (await control.stop()));
  return { control, data, trace, log, clock, metrics, next, kept };
}

const reloads = async (metrics: GatewayMetrics): Promise<string[]> =>
  (await metrics.render()).text.split("\n").filter((line) => line.startsWith("sluice_config_reloads_total{"));

describe("starting", () => {
  it("loads, prepares, then activates", async () => {
    const { control, trace, log, clock, metrics } = setUp();
    expect([control.state, control.generation, control.loaded]).toEqual(["starting", 0, undefined]);
    await control.start();
    expect(trace).toEqual(["a prepare 1", "a activate 1"]);
    expect([control.state, control.generation, control.failure]).toEqual(["ready", 1, undefined]);
    expect(control.loaded!.config.routes).toHaveLength(1);
    expect(control.urls).toEqual(["http://127.0.0.1:1"]);
    expect(control.adminUrl).toBeUndefined();
    expect(metrics.reloadedAt).toBe(clock.now() / 1000);
    expect(log.lines).toMatchObject([
      { level: "info", fields: { generation: 1, routes: 1 }, message: "configuration activated" },
    ]);
  });

  it("throws every problem and leaves nothing open, when the configuration cannot be loaded or built", async () => {
    const bad = setUp();
    bad.next.load = () => loadConfigObject(sourceOf("1", { nope: 1 }), { catalogue });
    await expect(bad.control.start()).rejects.toMatchObject({
      diagnostics: [{ code: "CONFIG_UNKNOWN_KEY" }],
    });
    expect([bad.control.state, bad.trace]).toEqual(["stopped", []]);

    const unbuilt = setUp();
    unbuilt.data.onPrepare = () => Promise.reject(new ConfigError("cannot", "/routes/0/pipeline/0/id"));
    await expect(unbuilt.control.start()).rejects.toBeInstanceOf(ConfigLoadError);
    expect(unbuilt.trace).toEqual(["a prepare 1"]);
    expect(unbuilt.log.lines).toEqual([]); // whoever starts it says so
  });
});

describe("a reload", () => {
  it("swaps in a configuration that differs", async () => {
    const { control, trace, next, metrics, log } = setUp();
    await control.start();
    trace.length = 0;
    next.load = () => loadedOf("2", { log: { level: "debug" } });
    expect(await control.reload()).toEqual({ result: "activated", generation: 2 });
    expect(trace).toEqual(["a prepare 2", "a activate 2"]);
    expect(await reloads(metrics)).toContain('sluice_config_reloads_total{result="success"} 2');
    expect(log.level).toBe("debug");
  });

  it("does nothing when nothing changed", async () => {
    const { control, trace, metrics } = setUp();
    await control.start();
    expect(await control.reload()).toEqual({ result: "unchanged", generation: 1 });
    expect(trace.filter((line) => line.startsWith("a"))).toEqual(["a prepare 1", "a activate 1"]);
    expect(await reloads(metrics)).toContain('sluice_config_reloads_total{result="success"} 1');
  });

  it("is refused when it cannot be prepared, and the old goes on", async () => {
    const { control, data, trace, next, metrics, log, clock } = setUp();
    await control.start();
    const before = control.loaded;
    trace.length = 0;
    next.load = () => loadedOf("2");
    data.onPrepare = () => Promise.reject(new ConfigError("cannot", "/routes/0/pipeline/0/id"));
    clock.advance(5000);
    const result = await control.reload();
    expect(result).toMatchObject({
      result: "refused",
      generation: 1,
      problems: [{ code: "CONFIG_OPTION_INVALID", message: "cannot", pointer: "/routes/0/pipeline/0/id" }],
    });
    expect(trace).toEqual(["a prepare 2"]);
    expect(data.serves).toBe(1);
    expect([control.generation, control.loaded, control.state]).toEqual([1, before, "ready"]);
    expect(control.failure).toMatchObject({ at: clock.now(), problems: [{ message: "cannot" }] });
    expect(await reloads(metrics)).toContain('sluice_config_reloads_total{result="failure"} 1');
    expect(log.lines.slice(1)).toMatchObject([
      { level: "error", fields: { code: "CONFIG_OPTION_INVALID" }, message: "configuration refused: cannot" },
      {
        level: "error",
        fields: { generation: 1, problems: 1 },
        message: "the previous configuration keeps serving",
      },
    ]);
  });

  it("is refused when the configuration cannot be loaded; the failure is remembered until a success", async () => {
    const { control, next, log } = setUp();
    await control.start();
    next.load = () => loadConfigObject(sourceOf("1", { a: 1, b: 2 }), { catalogue });
    const result = await control.reload();
    expect(result).toMatchObject({ result: "refused", problems: [{ pointer: "/a" }, { pointer: "/b" }] });
    expect(control.failure!.problems).toHaveLength(2);
    next.load = () => loadedOf("2");
    expect(await control.reload()).toMatchObject({ result: "activated", generation: 2 });
    expect(control.failure).toBeUndefined();
    expect(log.lines.filter(({ level }) => level === "error")).toHaveLength(3);
  });

  it("forgets the failure when the configuration is again what serves", async () => {
    const { control, next, log } = setUp();
    await control.start();
    next.load = () => loadConfigObject({}, { catalogue });
    await control.reload();
    expect(control.failure).toBeDefined();
    next.load = () => loadedOf("1");
    expect(await control.reload()).toEqual({ result: "unchanged", generation: 1 });
    expect(control.failure).toBeUndefined();
    expect(log.lines.at(-1)).toMatchObject({ message: "configuration is as it was before the error" });
  });

  it("is refused, and logged with its cause, for a reason that is not in the configuration; the next one works", async () => {
    const { control, data, next, log } = setUp();
    await control.start();
    const oops = new TypeError("oops");
    next.load = () => Promise.reject(oops);
    expect(await control.reload()).toMatchObject({
      result: "refused",
      problems: [{ code: "INTERNAL", message: "oops" }],
    });
    expect(log.lines[1]).toMatchObject({ level: "error", fields: { err: oops } });
    next.load = () => loadedOf("2");
    data.onPrepare = () => Promise.reject("text");
    expect(await control.reload()).toMatchObject({ problems: [{ code: "INTERNAL", message: "text" }] });
    data.onPrepare = async () => {};
    expect(await control.reload()).toMatchObject({ result: "activated" });
  });

  it("locates problems of building in the file", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-control-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, "gateway.yaml");
    await writeFile(
      file,
      "apiVersion: sluice/v1\nlisteners: [{ address: 127.0.0.1:0 }]\nroutes:\n  - name: all\n    match: { path: /* }\n    pipeline:\n      - plugin: answer\n        id: two\n".replace(
        "path: /*",
        'path: "/*"',
      ),
    );
    const { control, data, next, log } = setUp();
    await control.start();
    next.load = () => loadConfig(file, { catalogue });
    data.onPrepare = () => Promise.reject(new ConfigError("cannot", "/routes/0/pipeline/0/id"));
    const result = await control.reload();
    expect(result).toMatchObject({ problems: [{ file, line: 8, column: 13 }] });
    expect(log.lines[1]!.fields).toMatchObject({ file, line: 8, column: 13 });
  });

  it("waits for the one that runs; all that are asked for meanwhile are one", async () => {
    const { control, data, trace, next } = setUp();
    await control.start();
    trace.length = 0;
    const gate = Promise.withResolvers<void>();
    data.onPrepare = () => gate.promise;
    next.load = () => loadedOf("2");
    next.loads = 0;
    const first = control.reload();
    await expect.poll(() => trace).toContain("a prepare 2");
    const rest = [control.reload(), control.reload(), control.reload()];
    next.load = () => loadedOf("3");
    await new Promise((resolve) => setImmediate(resolve));
    expect(next.loads).toBe(1);
    gate.resolve();
    expect(await first).toEqual({ result: "activated", generation: 2 });
    expect(await Promise.all(rest)).toEqual(Array(3).fill({ result: "activated", generation: 3 }));
    expect(next.loads).toBe(2);
    const order = trace.filter((line) => line.startsWith("a"));
    expect(order).toEqual(["a prepare 2", "a activate 2", "a prepare 3", "a activate 3"]);
  });
});

describe("upstreams", () => {
  const upstreamsOf = (...urls: string[]) => ({ upstreams: { users: { targets: urls } } });
  const [A, B] = ["http://127.0.0.1:1", "http://127.0.0.1:2"];

  it("are told to what serves, the same as long as they stay, and shown and set here", async () => {
    const { control, data, trace, next } = setUp();
    const feeds: Feeds[] = [];
    data.onPrepare = async (_config, told) => void feeds.push(told);
    next.load = () => loadedOf("1", upstreamsOf(A));
    await control.start();
    const before = feeds[0]!.get("users")!;
    expect(before.targets.map(({ url }) => url)).toEqual([A]);
    next.load = () => loadedOf("1", upstreamsOf(A, B));
    await control.reload();
    const after = feeds.at(-1)!.get("users")!;
    expect(after.shared).toBe(before.shared);
    expect(after.targets[0]!.record).toBe(before.targets[0]!.record);
    expect(await control.inspect("upstreams")).toMatchObject({
      users: { targets: [{ url: A }, { url: B }] },
    });
    const patch = { target: "127.0.0.1:2", set: { weight: 7 } };
    const changed = await control.change("upstreams", "users", patch);
    expect(changed).toMatchObject({ targets: [{ weight: 1 }, { weight: 7 }] });
    expect(await control.change("upstreams", "none", patch)).toBeUndefined();
    expect(trace.filter((line) => /inspect|change/.test(line))).toEqual([]);
  });

  it("are looked after until nothing of their generation is left", async () => {
    const { control, data, next, kept } = setUp();
    next.load = () => loadedOf("1", upstreamsOf(A));
    await control.start();
    next.load = () => loadedOf("2");
    await control.reload();
    await new Promise((resolve) => setImmediate(resolve));
    expect(kept.keys()).toEqual(["targets users"]);
    data.retire[0]!();
    await expect.poll(() => kept.keys()).toEqual([]);
  });

  it("are closed when their generation is refused, and when the gateway stops", async () => {
    const { control, data, next, kept } = setUp();
    next.load = () => loadedOf("1", { upstreams: { old: { targets: [A] } } });
    await control.start();
    next.load = () => loadedOf("2", upstreamsOf(A));
    data.onPrepare = () => Promise.reject(new ConfigError("cannot"));
    expect(await control.reload()).toMatchObject({ result: "refused" });
    expect(kept.keys()).toEqual(["targets old"]);
    await control.stop();
    expect(kept.keys()).toEqual([]);
  });

  it("refuse the configuration with problems where they are written; what serves does not hear of it", async () => {
    const { control, trace, next } = setUp();
    await control.start();
    trace.length = 0;
    const targets = { file: "/none" };
    next.load = () => loadedOf("2", { upstreams: { bad: { targets, onUnresolved: "fail" } } });
    expect(await control.reload()).toMatchObject({
      result: "refused",
      problems: [{ code: "CONFIG_UNRESOLVED", pointer: "/upstreams/bad/targets" }],
    });
    expect(trace).toEqual([]);
  });
});

describe("the admin listener", () => {
  const admin = (address: string, token = "") => ({ admin: { address, token } });
  const isUp = (url: string): Promise<boolean> =>
    fetch(`${url}/health/live`).then(
      ({ ok }) => ok,
      () => false,
    );

  it("comes, stays, moves and goes with the configuration", async () => {
    const { control, next } = setUp();
    next.load = () => loadedOf("1", admin("127.0.0.1:0"));
    await control.start();
    const url = control.adminUrl!;
    expect((await fetch(`${url}/admin/stats`)).status).toBe(200);

    next.load = () => loadedOf("1", admin("127.0.0.1:0", "secret"));
    await control.reload();
    expect(control.adminUrl).toBe(url);
    expect((await fetch(`${url}/admin/stats`)).status).toBe(401);

    next.load = () => loadedOf("1", admin("localhost:0"));
    await control.reload();
    expect([control.adminUrl === url, await isUp(control.adminUrl!), await isUp(url)]).toEqual([
      false,
      true,
      false,
    ]);

    next.load = () => loadedOf("1");
    const last = control.adminUrl!;
    await control.reload();
    expect([control.adminUrl, await isUp(last)]).toEqual([undefined, false]);
  });

  it("refuses the whole configuration when it cannot be opened, and reloads go on working", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => new Promise<void>((resolve) => void server.close(() => resolve())));
    const address = `127.0.0.1:${(server.address() as { port: number }).port}`;

    const fresh = setUp();
    fresh.next.load = () => loadedOf("1", admin(address));
    await expect(fresh.control.start()).rejects.toMatchObject({
      diagnostics: [
        {
          code: "CONFIG_LISTEN",
          pointer: "/admin/address",
          message: `The address ${address} is in use by another process`,
        },
      ],
    });

    const { control, trace, next } = setUp();
    await control.start();
    trace.length = 0;
    next.load = () => loadedOf("2", admin(address));
    expect(await control.reload()).toMatchObject({
      result: "refused",
      problems: [{ code: "CONFIG_LISTEN" }],
    });
    expect(trace).toEqual(["a prepare 2", "a discard 2"]);
    next.load = () => loadedOf("2");
    expect(await control.reload()).toMatchObject({ result: "activated", generation: 2 });
  });
});

describe("watching", () => {
  it("reloads when a file changes, also one that only the last refused configuration named", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sluice-control-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, "gateway.json");
    const write = (value: object): Promise<void> => writeFile(file, JSON.stringify(value));
    await write(sourceOf("1"));
    const { control, next } = setUp();
    next.load = () => loadConfig(file, { catalogue });
    await control.start();
    await control.watch();
    await write(sourceOf("2", { include: ["more.json"] }));
    await expect.poll(() => control.failure).toBeDefined();
    await writeFile(join(folder, "more.json"), "{}");
    await expect.poll(() => control.generation).toBe(2);
    expect(control.failure).toBeUndefined();
  });
});

describe("stopping", () => {
  it("drains, and gives how many requests were cut off", async () => {
    const { control, trace, next } = setUp();
    next.load = () => loadedOf("1", { drainTimeout: "3s" });
    await control.start();
    trace.length = 0;
    const stopping = control.stop();
    expect(control.state).toBe("draining");
    expect(await stopping).toBe(1);
    expect([control.state, trace]).toEqual(["stopped", ["a stop 3000"]]);
  });

  it("happens once", async () => {
    const { control, trace } = setUp();
    await control.start();
    expect(await Promise.all([control.stop(), control.stop()])).toEqual([1, 1]);
    expect(trace.filter((line) => line.includes("stop"))).toHaveLength(1);
  });

  it("waits for the reload that runs, and lets no more begin", async () => {
    const { control, data, trace, next } = setUp();
    await control.start();
    const gate = Promise.withResolvers<void>();
    data.onPrepare = () => gate.promise;
    next.load = () => loadedOf("2");
    const running = control.reload();
    await expect.poll(() => trace).toContain("a prepare 2");
    next.load = () => loadedOf("3");
    const late = control.reload();
    const stopping = control.stop();
    gate.resolve();
    expect(await running).toMatchObject({ result: "activated", generation: 2 });
    expect(await late).toEqual({ result: "unchanged", generation: 2 });
    await stopping;
    expect(await control.reload()).toEqual({ result: "unchanged", generation: 2 });
    expect(trace.slice(-2)).toEqual(["a activate 2", "a stop 5000"]);
  });
});
