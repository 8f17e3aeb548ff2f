import { createServer } from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import type { CheckedConfig } from "../../core/config/checked.ts";
import { ConfigError, GatewayError } from "../../core/errors.ts";
import { Gateway } from "../../core/gateway.ts";
import { listenError } from "../../core/listen-error.ts";
import { GatewayMetrics } from "../../core/observe/metrics.ts";
import { totalsOf } from "../../core/observe/snapshot.ts";
import { type Plugin, textReply } from "../../core/plugin.ts";
import { createSharedMemory, SharedMemory } from "../../core/threads/shared-memory.ts";
import { createVitals, Vitals } from "../../core/threads/vitals.ts";
import type { Feeds } from "../../core/upstream/feed.ts";
import { openNothing } from "../../core/store/stores.ts";
import { FakeSockets } from "../support/sockets.ts";
import { catalogueOf, checked, fakePlugin } from "../support/generation.ts";
import { exchange, FakeClock, FakeLog } from "../support/harness.ts";
import { freePort } from "../support/ports.ts";

const NO_FEEDS: Feeds = new Map();

/** Answers with its id, and says when it is built and closed. */
function answering(trace: string[]): Plugin {
  return fakePlugin(
    "answer",
    ({ id }, host) => {
      trace.push(`build ${id}`);
      host.onClose(() => void trace.push(`close ${id}`));
      if (id === "bad") throw new ConfigError("bad", "/id");
      return () => () => textReply(200, String(id));
    },
    { terminal: true },
  );
}

interface Held {
  /** Resolves when a request has come. */
  readonly arrived: Promise<void>;
  release(): void;
}

/**
 * Holds its requests until they are let go.
 * @param isOpenMeanwhile it does not close before, as an upstream's connections do not
 */
function holding(isOpenMeanwhile = false): Held & { plugin: Plugin } {
  const [arrived, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const plugin = fakePlugin(
    "hold",
    (_options, host) => {
      if (isOpenMeanwhile) host.onClose(() => gate.promise);
      return () => async () => {
        arrived.resolve();
        await gate.promise;
        return textReply(200, "held");
      };
    },
    { terminal: true },
  );
  return { plugin, arrived: arrived.promise, release: gate.resolve };
}

function setUp(...plugins: Plugin[]) {
  const trace: string[] = [];
  const log = new FakeLog();
  const metrics = new GatewayMetrics();
  const catalogue = catalogueOf(answering(trace), ...plugins);
  const shared = new SharedMemory(createSharedMemory(1), 0);
  const clock = new FakeClock();
  const vitals = new Vitals(createVitals(1), 0);
  const sockets = new FakeSockets();
  const random = (): number => 0.5;
  const around = { catalogue, log, clock, metrics, shared, vitals, sockets, random };
  const gateway = new Gateway({ ...around, openStore: openNothing });
  onTestFinished(async () => void (await gateway.stop(0)));
  const config = (
    id: string,
    parts: object = {},
    pipeline: object[] = [{ plugin: "answer", id }],
  ): Promise<CheckedConfig> =>
    checked({ routes: [{ name: "all", match: { path: "/*" }, pipeline }], ...parts }, catalogue);
  let number = 0;
  const swap = async (config: CheckedConfig): Promise<void> =>
    (await gateway.prepare(config, ++number, NO_FEEDS)).activate();
  return { gateway, log, metrics, trace, sockets, config, swap };
}

const text = async (url: string | undefined, init?: RequestInit): Promise<string> =>
  (await fetch(url!, init)).text();

async function occupyPort(host = "127.0.0.1"): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as { port: number };
  return { port, close: () => new Promise((resolve) => server.close(() => resolve())) };
}

const listeners = (...ports: number[]): object => ({
  listeners: ports.map((port) => ({ address: `127.0.0.1:${port}` })),
});

describe("a swap", () => {
  it("serves nothing of what is prepared until it is activated", async () => {
    const { gateway, metrics, trace, config, swap } = setUp();
    await swap(await config("1"));
    const [url] = gateway.urls;
    expect(await text(url)).toBe("1");
    const prepared = await gateway.prepare(await config("2"), 2, NO_FEEDS);
    expect([await text(url), metrics.generation]).toEqual(["1", 1]);
    prepared.activate();
    expect([await text(url), metrics.generation]).toEqual(["2", 2]);
    expect(gateway.urls).toEqual([url]);
    expect(trace).toEqual(["build 1", "build 2", "close 1"]);
  });

  it("has a request that comes before the first is activated wait for it", async () => {
    const { gateway, config } = setUp();
    const prepared = await gateway.prepare(await config("1"), 1, NO_FEEDS);
    const waiting = text(prepared.urls[0]);
    await new Promise((resolve) => setImmediate(resolve));
    prepared.activate();
    expect(await waiting).toBe("1");
  });

  it("answers 503 to one for which there never is a first", async () => {
    const { gateway } = setUp();
    const waiting = gateway.handle(exchange());
    await gateway.stop(0);
    await expect(waiting).rejects.toMatchObject({ code: "NOT_READY", status: 503 });
  });

  it("leaves the old serving when the new is discarded, with all that it opened closed", async () => {
    const { gateway, trace, config, swap } = setUp();
    const [first, second] = [await freePort(), await freePort()];
    await swap(await config("1", listeners(first)));
    const prepared = await gateway.prepare(await config("2", listeners(first, second)), 2, NO_FEEDS);
    await prepared.discard();
    expect(await text(`http://127.0.0.1:${first}`)).toBe("1");
    await expect(fetch(`http://127.0.0.1:${second}`)).rejects.toThrow();
    expect(trace).toEqual(["build 1", "build 2", "close 2"]);
    expect(gateway.urls).toEqual([`http://127.0.0.1:${first}`]);
  });

  it("leaves the old serving when the new cannot be built", async () => {
    const { gateway, trace, config, swap } = setUp();
    await swap(await config("1"));
    await expect(gateway.prepare(await config("bad"), 2, NO_FEEDS)).rejects.toMatchObject({
      problems: [{ message: "bad", pointer: "/routes/0/pipeline/0/id" }],
    });
    expect(await text(gateway.urls[0])).toBe("1");
    expect(trace).toEqual(["build 1", "build bad", "close bad"]);
  });

  it("lets requests under way end on the generation that they began on", async () => {
    const hold = holding();
    const { gateway, trace, config, swap } = setUp(hold.plugin);
    const pipeline = [{ plugin: "answer", id: "1", when: { path: "/now" } }, { plugin: "hold" }];
    await swap(await config("1", {}, pipeline));
    const [url] = gateway.urls;
    const slow = text(url);
    await hold.arrived;
    await swap(await config("2"));
    expect(await text(url)).toBe("2");
    expect(trace).toEqual(["build 1", "build 2"]);
    hold.release();
    expect(await slow).toBe("held");
    await expect.poll(() => trace).toEqual(["build 1", "build 2", "close 1"]);
  });

  it("says when nothing of a generation is left: it was discarded, replaced, or the gateway stopped", async () => {
    const hold = holding();
    const { gateway, config } = setUp(hold.plugin);
    const over: number[] = [];
    const prepare = async (number: number, pipeline?: object[]) => {
      const prepared = await gateway.prepare(await config(String(number), {}, pipeline), number, NO_FEEDS);
      void prepared.retired.then(() => over.push(number));
      return prepared;
    };
    (await prepare(1, [{ plugin: "hold" }])).activate();
    const slow = text(gateway.urls[0]);
    await hold.arrived;
    await (await prepare(2)).discard();
    (await prepare(3)).activate();
    await expect.poll(() => over).toEqual([2]);
    hold.release();
    await slow;
    await expect.poll(() => over).toEqual([2, 1]);
    await gateway.stop(0);
    expect(over).toEqual([2, 1, 3]);
  });

  it("closes the old at drainTimeout, and says that requests were left", async () => {
    const hold = holding(true);
    const { gateway, log, trace, config, swap } = setUp(hold.plugin);
    const drain = { drainTimeout: "20ms" };
    await swap(await config("1", drain, [{ plugin: "hold" }]));
    const slow = text(gateway.urls[0]);
    await hold.arrived;
    await swap(await config("2", drain));
    await expect
      .poll(() => log.lines)
      .toMatchObject([{ level: "warn", fields: { left: 1 }, message: "requests outlived drainTimeout" }]);
    expect(trace).toEqual(["build 2"]);
    hold.release();
    expect(await slow).toBe("held");
  });

  it("logs an old generation that cannot be closed", async () => {
    const clumsy = fakePlugin("clumsy", (_options, host) => {
      host.keep("k", () => ({ close: () => Promise.reject(new Error("cannot close")) }));
      return (next) => next;
    });
    const { log, config, swap } = setUp(clumsy);
    await swap(await config("1", {}, [{ plugin: "clumsy" }, { plugin: "answer", id: "1" }]));
    await swap(await config("2"));
    await expect.poll(() => log.lines).toMatchObject([{ level: "error", message: "draining failed" }]);
  });
});

describe("listeners", () => {
  it("are added, kept and removed as the configuration says, in its order", async () => {
    const { gateway, config, swap } = setUp();
    const [a, b, c] = [await freePort(), await freePort(), await freePort()];
    await swap(await config("1", listeners(a, b)));
    const url = (port: number): string => `http://127.0.0.1:${port}`;
    expect(gateway.urls).toEqual([url(a), url(b)]);
    await swap(await config("2", listeners(c, b)));
    expect(gateway.urls).toEqual([url(c), url(b)]);
    expect([await text(url(b)), await text(url(c))]).toEqual(["2", "2"]);
    await expect
      .poll(() =>
        fetch(url(a)).then(
          () => true,
          () => false,
        ),
      )
      .toBe(false);
  });

  it("may share an address that takes any free port", async () => {
    const { gateway, config, swap } = setUp();
    const twice = { listeners: [{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0" }] };
    await swap(await config("one", twice));
    const [first, second] = gateway.urls;
    expect(first).not.toBe(second);
    await swap(await config("two", twice));
    expect(gateway.urls).toEqual([first, second]);
    expect([await text(first), await text(second)]).toEqual(["two", "two"]);
  });

  it("that stay keep their connections and take over new limits", async () => {
    const { gateway, config, swap } = setUp();
    const body = (): RequestInit => ({ method: "POST", body: "12345" });
    await swap(await config("1"));
    expect((await fetch(gateway.urls[0]!, body())).status).toBe(200);
    const [url] = gateway.urls;
    await swap(await config("2", { listeners: [{ address: "127.0.0.1:0", limits: { bodySize: "4B" } }] }));
    expect(gateway.urls).toEqual([url]);
    expect((await fetch(url!, body())).status).toBe(413);
  });

  it("that cannot be opened refuse the whole swap, as one problem that names the right one", async () => {
    const { gateway, trace, config, swap } = setUp();
    const [free, taken] = [await freePort(), await occupyPort()];
    await swap(await config("1"));
    const error: unknown = await gateway
      .prepare(await config("2", listeners(free, taken.port)), 2, NO_FEEDS)
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).problems).toEqual([
      {
        code: "CONFIG_LISTEN",
        message: `The address 127.0.0.1:${taken.port} is in use by another process`,
        pointer: "/listeners/1/address",
      },
    ]);
    expect(trace).toEqual(["build 1", "build 2", "close 2"]);
    await expect(fetch(`http://127.0.0.1:${free}`)).rejects.toThrow();
    expect(await text(gateway.urls[0])).toBe("1");
    await taken.close();
    await swap(await config("3", listeners(free, taken.port)));
    expect(await text(gateway.urls[1])).toBe("3");
  });

  it("have their sockets kept for as long as they are open", async () => {
    const { gateway, sockets, config, swap } = setUp();
    const [a, b] = [await freePort(), await freePort()];
    const key = (port: number): string => `127.0.0.1:${port} 0`;
    const discarded = await gateway.prepare(await config("0", listeners(a)), 9, NO_FEEDS);
    expect([...sockets.held.keys()]).toEqual([key(a)]);
    await discarded.discard();
    expect([...sockets.held.keys()]).toEqual([]);
    await swap(await config("1", listeners(a)));
    const { fd, handle } = sockets.held.get(key(a))!;
    expect([fd, handle]).toEqual([expect.any(Number), expect.any(Object)]);
    await swap(await config("2", listeners(b, a)));
    expect([...sockets.held.keys()]).toEqual([key(a), key(b)]);
    expect(sockets.held.get(key(a))).toEqual({ fd, handle });
    await swap(await config("3", listeners(b)));
    expect([...sockets.held.keys()]).toEqual([key(b)]);
  });

  it("tell why they cannot be opened", () => {
    const messageOf = (code: string | undefined, message = ""): string =>
      listenError(Object.assign(new Error(message), { code }), "a.test:80", "/p").message;
    expect(messageOf("EACCES")).toMatch(/^The address a\.test:80 may not be used without more rights/);
    expect(messageOf("EADDRNOTAVAIL")).toBe("The address a.test:80 is not an address of this machine");
    expect(messageOf("ENOTFOUND")).toBe("The address a.test:80 is not a known host");
    expect(messageOf("EWHAT", "went wrong")).toBe("The address a.test:80 cannot be listened on: went wrong");
    expect(messageOf(undefined, "odd")).toBe("The address a.test:80 cannot be listened on: odd");
  });
});

describe("stopping", () => {
  it("lets requests under way end, takes no new ones, and closes everything", async () => {
    const hold = holding();
    const { gateway, trace, config, swap } = setUp(hold.plugin);
    const pipeline = [{ plugin: "answer", id: "1", when: { path: "/now" } }, { plugin: "hold" }];
    await swap(await config("1", {}, pipeline));
    const [url] = gateway.urls;
    const slow = text(url);
    await hold.arrived;
    const stopping = gateway.stop(10_000);
    await expect(fetch(url!)).rejects.toThrow();
    expect(trace).toEqual(["build 1"]);
    hold.release();
    expect(await slow).toBe("held");
    expect(await stopping).toBe(0);
    expect([trace, gateway.urls]).toEqual([["build 1", "close 1"], []]);
  });

  it("cuts off what is left at the end, and says how many that were", async () => {
    const hold = holding();
    const { gateway, config, swap } = setUp(hold.plugin);
    await swap(await config("1", {}, [{ plugin: "hold" }]));
    const cut = expect(fetch(gateway.urls[0]!)).rejects.toThrow();
    await hold.arrived;
    expect(await gateway.stop(10)).toBe(1);
    await cut;
    hold.release();
  });

  it("can be done before anything was served, and twice", async () => {
    const { gateway, config, swap } = setUp();
    expect(await gateway.stop(0)).toBe(0);
    await swap(await config("1"));
    expect(await Promise.all([gateway.stop(0), gateway.stop(0)])).toEqual([0, 0]);
  });
});

describe("what a gateway tells of its requests", () => {
  const outcome = (more: object = {}) => ({
    status: 200,
    code: undefined,
    error: undefined,
    bytesIn: 0,
    bytesOut: 0,
    ...more,
  });

  it("is counted: requests under way, by route and by error code", async () => {
    const { gateway, metrics } = setUp();
    const x = exchange({ method: "PUT" });
    x.route = { ...x.route, stats: metrics.route("a") };
    gateway.onStart();
    expect(metrics.active).toBe(1);
    gateway.onEnd(x, outcome({ status: 502, code: "UPSTREAM_RESET" }));
    expect(metrics.active).toBe(0);
    gateway.onRefused("HOST_INVALID", "192.0.2.1");
    expect(totalsOf(await metrics.snapshot())).toEqual({
      activeRequests: 0,
      requests: 1,
      byStatus: { 502: 1 },
      errors: { UPSTREAM_RESET: 1, HOST_INVALID: 1 },
    });
  });

  it("is the route whose request began last, of the generation that serves", async () => {
    const { gateway, config, swap } = setUp();
    await swap(await config("1"));
    expect(gateway.lastRoutes).toEqual([]);
    await text(gateway.urls[0]);
    expect(gateway.lastRoutes).toEqual(["all"]);
    await swap(await config("2"));
    expect(gateway.lastRoutes).toEqual([]);
  });

  it("is logged once for failures that are not the client's: 500 as an error, others as warnings", () => {
    const { gateway, log } = setUp();
    const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
    const end = (error: GatewayError): void =>
      gateway.onEnd(exchange(), outcome({ status: error.status, code: error.code, error }));
    end(new GatewayError("BODY_TOO_LARGE"));
    expect(log.lines).toEqual([]);
    end(new GatewayError("STAGE_FAILED", { cause }));
    end(new GatewayError("STAGE_FAILED"));
    end(new GatewayError("UPSTREAM_CONNECT_FAILED", { cause }));
    end(new GatewayError("UPSTREAM_RESET", { cause: new Error("other side closed") }));
    end(new GatewayError("UPSTREAM_UNAVAILABLE"));
    expect(log.lines.map(({ level }) => level)).toEqual(["error", "error", "warn", "warn", "warn"]);
    expect(log.lines[0]!.fields).toMatchObject({ code: "STAGE_FAILED", err: cause });
    expect(log.lines[1]!.fields).toMatchObject({ err: { code: "STAGE_FAILED" } });
    expect(log.lines.slice(2).map(({ fields }) => (fields as { cause?: string }).cause)).toEqual([
      "ECONNREFUSED",
      "other side closed",
      undefined,
    ]);
  });

  it("is one line a request in the access log, where that is on", async () => {
    const { gateway, log, config, swap } = setUp();
    await swap(await config("1", { log: { access: false } }));
    gateway.onEnd(exchange(), outcome());
    gateway.onRefused("HOST_INVALID", "192.0.2.1");
    expect(log.lines).toEqual([]);
    await swap(await config("2", { log: { access: true } }));
    gateway.onEnd(exchange(), outcome());
    gateway.onRefused("HOST_INVALID", "192.0.2.1");
    expect(log.lines).toMatchObject([
      { level: "info", message: "request", fields: { status: 200 } },
      {
        level: "info",
        message: "request refused",
        fields: { client: "192.0.2.1", status: 400, code: "HOST_INVALID" },
      },
    ]);
  });
});
