/** Stores through a whole gateway: in one thread and in several, over reloads, with Redis and without. */
import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadConfigObject } from "../../core/config/load.ts";
import type { Plugin } from "../../core/plugin.ts";
import { compileOnce } from "../../core/runtime.ts";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { hostileCatalogue } from "../support/hostile-plugins.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { tally } from "../support/tally-plugin.ts";
import { connectTo, hostileConfig, startThreaded, type ThreadedGateway } from "../support/threads.ts";

const route = (name: string, path: string, pipeline: object[]): object => ({
  name,
  match: { path },
  pipeline,
});

const plugins = [tally as Plugin];
/** A configuration that counts requests in a store called `main`. */
const counting = (stores: object, store = "main", parts: object = {}): object =>
  config({ stores, routes: [route("tally", "/*", [{ plugin: "tally", store }])], ...parts });

const ask = async (gateway: TestGateway, path = "/a"): Promise<string> =>
  (await fetch(gateway.url + path)).text();

describe("with two threads", () => {
  const PARTS = {
    routes: [
      route("tally", "/tally/*", [{ plugin: "tell-thread" }, { plugin: "tally" }]),
      route("others", "/*", [{ plugin: "tell-thread" }, { plugin: "hostile" }]),
    ],
    log: { access: false },
  };
  let gateway: ThreadedGateway;
  beforeEach(async () => {
    gateway = await startThreaded(hostileConfig({}, PARTS));
  });
  afterEach(() => gateway[Symbol.asyncDispose]());

  /** Asks both threads so often, at the same time; gives all sums in order. */
  async function count(times: number): Promise<number[]> {
    const connections = await Promise.all([0, 1].map((thread) => connectTo(thread, gateway.url)));
    const sums = await Promise.all(
      connections.flatMap((connection) => Array.from({ length: times }, () => connection.ask("tally/a"))),
    );
    for (const connection of connections) connection.close();
    return sums.map(Number).sort((a, b) => a - b);
  }
  const upTo = (first: number, last: number): number[] =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i);

  it("a store in memory is one, exactly, over reloads and threads that die", async () => {
    expect(await count(250)).toEqual(upTo(1, 500));
    gateway.source = hostileConfig({}, { ...PARTS, drainTimeout: "1s" });
    expect(await gateway.control.reload()).toMatchObject({ result: "activated" });
    expect(await count(50)).toEqual(upTo(501, 600));
    const victim = await connectTo(1, gateway.url);
    await victim.ask("exit").catch(() => {});
    victim.close();
    await gateway.logged((line) => line["msg"] === "a new data thread serves");
    expect(await count(50)).toEqual(upTo(601, 700));
    const { text } = await gateway.control.metrics.render();
    expect(text).toContain('sluice_store_entries{store="main"} 1\n');
    expect(text).toMatch(/sluice_store_calls_total\{store="main",result="ok"\} \d+/);
  });

  it("a store in memory begins anew when its options change", async () => {
    expect(await count(5)).toEqual(upTo(1, 10));
    gateway.source = hostileConfig({}, { ...PARTS, stores: { main: { type: "memory", maxBytes: "8MB" } } });
    await gateway.control.reload();
    expect(await count(5)).toEqual(upTo(1, 10));
  });
});

describe("with Redis", () => {
  let server: RedisServer;
  let using: AsyncDisposableStack;
  beforeEach(async () => {
    using = new AsyncDisposableStack();
    server = using.use(await startRedis());
  });
  afterEach(() => using.disposeAsync());

  const redis = (more: object = {}): object => ({ type: "redis", url: server.url, timeout: "2s", ...more });
  const start = async (source: object): Promise<TestGateway> =>
    using.use(await startGateway(source, { plugins }));
  /** Connections of gateways, by number. */
  const clients = async (): Promise<string[]> =>
    (await server.ask("client", "list"))
      .split("\n")
      .filter((line) => line.includes("name=sluice"))
      .map((line) => /\bid=(\d+)/.exec(line)![1]!);

  it("a gateway answers from its first request on, and two share what they count", async () => {
    const [one, two] = [await start(counting({ main: redis() })), await start(counting({ main: redis() }))];
    expect([await ask(one), await ask(two), await ask(one)]).toEqual(["1", "2", "3"]);
  });

  it("a connection is kept over reloads while its store stays, and closed with it", async () => {
    const gateway = await start(counting({ main: redis() }));
    const before = await clients();
    expect(before).toHaveLength(1);
    await gateway.reload(counting({ main: redis() }, "main", { drainTimeout: "1s" }));
    expect(await ask(gateway)).toBe("1");
    expect(await clients()).toEqual(before);
    await gateway.reload(counting({ main: redis({ keyPrefix: "other:" }) }));
    expect(await ask(gateway)).toBe("1");
    await expect.poll(clients).toHaveLength(1);
    expect(await clients()).not.toEqual(before);
    await gateway.reload(
      counting({ main: redis({ keyPrefix: "other:" }), near: { type: "memory" } }, "near"),
    );
    await expect.poll(clients).toEqual([]);
  });

  it("a store that nobody uses opens no connection, nor does a check", async () => {
    const counted = { connections: 0 };
    const listener = createServer((socket) => void socket.destroy(void counted.connections++));
    using.defer(() => void listener.close());
    await once(listener.listen(0, "127.0.0.1"), "listening");
    const { port } = listener.address() as { port: number };
    const unused = { type: "redis", url: `redis://127.0.0.1:${port}` };
    const gateway = await start(counting({ unused }));
    expect(await ask(gateway)).toBe("1");
    const { config } = await loadConfigObject(counting({ unused }, "unused"), {
      catalogue: hostileCatalogue,
    });
    await compileOnce(hostileCatalogue)(config);
    expect(counted.connections).toBe(0);
  });

  it("a gateway starts without it, says what is wrong, and serves when it comes", async () => {
    await server.kill();
    const url = server.url.replace("//", "//:hunter2@");
    const gateway = await start(counting({ main: redis({ url }) }));
    const refused = await fetch(`${gateway.url}/a`);
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await refused.json()).toMatchObject({ code: "STORE_UNAVAILABLE" });
    await server.start();
    await expect.poll(async () => (await fetch(`${gateway.url}/a`)).status).toBe(200);
    const about = gateway.lines.filter((line) => String(line["msg"]).includes("store"));
    expect(about.map((line) => line["msg"])).toEqual([
      "a store cannot be reached: calls fail until it can",
      "a store can be reached again",
    ]);
    expect(JSON.stringify(gateway.lines)).not.toContain("hunter2");
  });

  it("what is refused leaves no connection", async () => {
    const gateway = await start(counting({}));
    const broken = counting({ main: redis() }, "main", {
      routes: [route("tally", "/*", [{ plugin: "tally" }]), route("same", "/*", [{ plugin: "tally" }])],
    });
    expect(await gateway.reload(broken)).toMatchObject({ result: "refused" });
    await expect.poll(clients).toEqual([]);
  });
});
