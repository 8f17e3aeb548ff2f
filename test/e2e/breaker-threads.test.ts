/** A circuit that two data threads share: real threads, real sockets. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Connection,
  connectTo,
  hostileConfig,
  startThreaded,
  type ThreadedGateway,
} from "../support/threads.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const CIRCUIT = "upstream:users";

let upstream: TestUpstream;
let gateway: ThreadedGateway;
let connections: Connection[];
let asked = 0;
let status: number;

const stages = (options: object): object => ({
  upstreams: { users: { targets: [upstream.url] } },
  routes: [
    {
      name: "users",
      match: { path: "/users/*" },
      pipeline: [{ plugin: "breaker", halfOpen: 1, recovery: "0s", ...options }],
      upstream: "users",
    },
    { name: "rest", match: { path: "/*" }, pipeline: [{ plugin: "tell-thread" }, { plugin: "hostile" }] },
  ],
});

async function start(options: object): Promise<[Connection, Connection]> {
  gateway = await startThreaded(hostileConfig({}, stages(options)));
  connections = [await connectTo(0, gateway.url), await connectTo(1, gateway.url)];
  return connections as [Connection, Connection];
}

const isState = (state: string) => (line: Record<string, unknown>) =>
  line["circuit"] === CIRCUIT && line["state"] === state;

const said = (state: string): number => gateway.lines.filter(isState(state)).length;

beforeEach(async () => {
  asked = 0;
  status = 500;
  upstream = await startUpstream((_request, response) => {
    asked++;
    response.statusCode = status;
    response.end(`status ${status}`);
  });
});

afterEach(async () => {
  for (const connection of connections) connection.close();
  await gateway[Symbol.asyncDispose]();
  await upstream.close();
});

describe("a circuit of two data threads", () => {
  it("opens for both at what both have seen, closes for both, and says each once", async () => {
    const [first, second] = await start({ errorRate: "100%", minRequests: 4, openFor: "2s" });
    for (const each of [first, second, first, second]) expect(await each.ask("users/1")).toBe("status 500");
    for (const each of [first, second]) expect(await each.ask("users/1")).toContain("CIRCUIT_OPEN");
    expect(asked).toBe(4);
    status = 200;
    await gateway.logged(isState("half-open"));
    for (const each of [second, first]) expect(await each.ask("users/1")).toBe("status 200");
    await gateway.logged(isState("closed"));
    expect([said("open"), said("half-open"), said("closed")]).toEqual([1, 1, 1]);
    const { text } = await gateway.control.metrics.render();
    const labels = 'by="upstream",upstream="users"';
    for (const line of [
      `sluice_circuit_state{${labels}} 0`,
      `sluice_circuit_admitted_ratio{${labels}} 1`,
      `sluice_circuits{${labels},state="closed"} 1`,
      `sluice_circuits{${labels},state="open"} 0`,
      `sluice_circuit_transitions_total{${labels},to="open"} 1`,
      `sluice_circuit_transitions_total{${labels},to="closed"} 1`,
      `sluice_circuit_rejected_total{${labels}} 2`,
    ]) {
      expect(text).toContain(line);
    }
  });

  it("is forced on both, also on one that meets it later and after its options changed", async () => {
    const [first, second] = await start({ consecutiveFailures: 2 });
    await first.ask("users/1");
    const { control } = gateway;
    expect(await control.change("circuit-breakers", CIRCUIT, { force: "open" })).toMatchObject({
      state: "open",
      forced: "open",
      failures: 0,
    });
    expect(await second.ask("users/1")).toContain("CIRCUIT_OPEN");
    gateway.source = hostileConfig({}, stages({ consecutiveFailures: 3 }));
    expect(await control.reload()).toMatchObject({ result: "activated" });
    for (const each of [second, first]) expect(await each.ask("users/1")).toContain("CIRCUIT_OPEN");
    await control.change("circuit-breakers", CIRCUIT, { force: null, reset: true });
    for (const each of [first, second]) expect(await each.ask("users/1")).toBe("status 500");
    expect(await control.inspect("circuit-breakers")).toMatchObject({
      [CIRCUIT]: { state: "closed", forced: null, failures: 2 },
    });
  });

  it("stays open when the thread that opened it dies, also for the one that takes its place", async () => {
    const [first, second] = await start({ consecutiveFailures: 1, openFor: "1m" });
    await first.ask("users/1");
    await first.ask("exit").catch(() => {});
    await gateway.logged((line) => line["msg"] === "a new data thread serves");
    const again = await connectTo(0, gateway.url);
    connections.push(again);
    for (const each of [again, second]) expect(await each.ask("users/1")).toContain("CIRCUIT_OPEN");
    await gateway.control.change("circuit-breakers", CIRCUIT, { reset: true });
    status = 200;
    for (const each of [again, second]) expect(await each.ask("users/1")).toBe("status 200");
  });
});
