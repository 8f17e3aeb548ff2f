/** Limits whose counts are in Redis: several gateway processes, and a store that comes, goes and fails. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  hammer,
  lasting,
  type LimitedGateway,
  limiting,
  mostWithin,
  startGateways,
} from "../support/limited-gateways.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { type SlowProxy, startSlowProxy } from "../support/slow-proxy.ts";

const LOST = "limits do without their store until it answers again: each does what its onStoreError says";
const BACK = "limits count in their store again";

let server: RedisServer;
let using: AsyncDisposableStack;
beforeEach(async () => {
  using = new AsyncDisposableStack();
  server = using.use(await startRedis());
});
afterEach(() => using.disposeAsync());

/** As long as a busy machine may need; what fails fails sooner. */
const PATIENT = "2s";
const redis = (more: object = {}): object => ({ type: "redis", url: server.url, timeout: PATIENT, ...more });

const times = (count: number, status: number): number[] => Array.from({ length: count }, () => status);

/** Calls that Redis has not answered. */
async function unanswered({ cli }: LimitedGateway): Promise<number> {
  const text = await (await fetch(new URL("/metrics", cli.adminUrl))).text();
  const count = /^sluice_store_calls_total\{store="shared",result="unavailable"\} (\d+)$/m.exec(text);
  return Number(count![1]);
}

/** Asks until limits have logged that. */
async function askUntil(
  gateway: LimitedGateway,
  message: string,
  stage: string,
): Promise<Record<string, unknown>> {
  let said: Record<string, unknown> | undefined;
  void gateway.cli.logged((line) => line["msg"] === message).then((line) => (said = line));
  while (said === undefined) await gateway.ask(stage, "any");
  return said;
}

async function start(count: number, source: object): Promise<LimitedGateway[]> {
  const gateways = await startGateways(count, source);
  for (const gateway of gateways) using.use(gateway);
  return gateways;
}

describe("two gateways on one Redis", () => {
  const RATE = { rate: "60/1s", timeout: PATIENT };
  /** Most in any second. */
  const BOUNDS = [
    ["token-bucket", 120],
    ["fixed-window", 120],
    ["sliding-window-log", 60],
    ["sliding-window-counter", 120],
    ["hybrid", 120],
  ] as const;

  it.each(["exact", "lease"])("admit no more than the limit in any window: %s", async (mode) => {
    const lease = mode === "lease" ? { lease: {} } : {};
    const stages = Object.fromEntries(
      BOUNDS.map(([algorithm]) => [algorithm, { ...RATE, ...lease, algorithm }]),
    );
    const gateways = await start(2, limiting(redis(), stages));
    await Promise.all(
      BOUNDS.map(async ([algorithm, bound]) => {
        const asked = await hammer(gateways, algorithm, 4, lasting(4000));
        expect(mostWithin(1000, asked), algorithm).toBeLessThanOrEqual(bound);
        const admitted = asked.filter(({ status }) => status === 200).length;
        expect(admitted, algorithm).toBeGreaterThan(60);
        expect(admitted, algorithm).toBeLessThanOrEqual(60 * 6);
      }),
    );
    for (const gateway of gateways) expect(gateway.told).toEqual([]);
  });
});

describe("without Redis", () => {
  /** Rates that nothing comes back of during a test. */
  const RATE = { rate: "8/1h", timeout: "1s" };
  const STAGES = {
    allow: { ...RATE, onStoreError: "allow" },
    deny: { ...RATE, onStoreError: "deny" },
    local: { ...RATE, onStoreError: "local", localShare: "50%" },
  };
  /** What is asked until its store has decided it. */
  const decided = (gateway: LimitedGateway, stage: string, key: string): Promise<void> =>
    expect.poll(async () => (await gateway.ask(stage, key)).status).toBe(200);

  it("a gateway starts, does what onStoreError says, and counts there as soon as it comes", async () => {
    await server.kill();
    const [gateway] = (await start(1, limiting(redis(), STAGES))) as [LimitedGateway];
    expect(await gateway.statuses("deny", 12)).toEqual(times(12, 503));
    expect(await gateway.statuses("allow", 12)).toEqual(times(12, 200));
    expect(await gateway.statuses("local", 12)).toEqual([...times(4, 200), ...times(8, 429)]);
    expect(await gateway.metric("sluice_limit_standby", "local")).toBe(1);
    expect(await gateway.metric("sluice_limit_store_failures_total", "local")).toBe(12);
    await server.start();
    const began = performance.now();
    await decided(gateway, "deny", "b");
    expect(performance.now() - began).toBeLessThan(3000);
    expect(await gateway.statuses("local", 12, "b")).toEqual([...times(8, 200), ...times(4, 429)]);
    expect(await gateway.metric("sluice_limit_standby", "local")).toBe(0);
    await askUntil(gateway, BACK, "allow");
    expect(gateway.told).toEqual([LOST, BACK]);
  });

  it("that hangs, only the first requests wait, and then one now and then", async () => {
    const rate = { ...STAGES.local, rate: "1000000/1h", timeout: "100ms" };
    const [gateway] = (await start(1, limiting(redis(), { local: rate }))) as [LimitedGateway];
    await gateway.ask("local");
    let isOn = true;
    const load = hammer([gateway], "local", 8, () => isOn);
    server.freeze();
    await gateway.cli.logged((line) => line["msg"] === LOST);
    const lostAt = performance.now();
    const before = await unanswered(gateway);
    while (performance.now() < lostAt + 1500) await gateway.ask("local", "other");
    const waited = (await unanswered(gateway)) - before;
    const endedAt = performance.now();
    server.thaw();
    await gateway.cli.logged((line) => line["msg"] === BACK);
    isOn = false;
    const asked = (await load).filter(({ sentAt }) => sentAt > lostAt && sentAt < endedAt);
    expect(new Set(asked.map(({ status }) => status))).toEqual(new Set([200]));
    // Those under way when it was lost, and one in 250 ms.
    expect(waited).toBeLessThanOrEqual(9 + (endedAt - lostAt) / 250);
    expect(asked.length).toBeGreaterThan(2 * waited);
    expect(gateway.told).toEqual([LOST, BACK]);
  });

  it("that went away under load, no request is lost, and the limit holds again when it is back", async () => {
    const rate = { ...STAGES.local, rate: "1000000/1h" };
    const gateways = await start(2, limiting(redis(), { local: rate, deny: STAGES.deny }));
    await Promise.all(gateways.map((gateway) => gateway.ask("local")));
    let isOn = true;
    const load = hammer(gateways, "local", 4, () => isOn);
    await server.kill();
    await Promise.all(gateways.map(({ cli }) => cli.logged((line) => line["msg"] === LOST)));
    await server.start();
    await Promise.all(gateways.map(({ cli }) => cli.logged((line) => line["msg"] === BACK)));
    isOn = false;
    expect(new Set((await load).map(({ status }) => status))).toEqual(new Set([200]));
    const both = await Promise.all(gateways.map((gateway) => gateway.statuses("deny", 8, "b")));
    expect(both.flat().filter((status) => status === 200)).toHaveLength(8);
    for (const { told } of gateways) expect(told).toEqual([LOST, BACK]);
  });

  it("that is slow, it does without until it is fast again", async () => {
    const proxy: SlowProxy = using.use(await startSlowProxy(server.port));
    const [gateway] = (await start(1, limiting(redis({ url: proxy.url }), STAGES))) as [LimitedGateway];
    expect(await gateway.statuses("deny", 3)).toEqual(times(3, 200));
    proxy.delayMs = 1500;
    expect(await gateway.statuses("local", 12)).toEqual([...times(4, 200), ...times(8, 429)]);
    await askUntil(gateway, LOST, "allow");
    proxy.delayMs = 0;
    await askUntil(gateway, BACK, "allow");
    expect(await gateway.statuses("deny", 6)).toEqual([...times(5, 200), 429]);
    expect(gateway.told).toEqual([LOST, BACK]);
  });
});

describe("a Redis that answers", () => {
  const STAGES = {
    deny: { rate: "8/1h", timeout: PATIENT, onStoreError: "deny" },
    local: { rate: "8/1h", timeout: PATIENT, onStoreError: "local", localShare: "50%" },
  };
  it("and has lost its scripts gets them again: nobody sees it", async () => {
    const [gateway] = (await start(1, limiting(redis(), STAGES))) as [LimitedGateway];
    expect(await gateway.statuses("deny", 3)).toEqual([200, 200, 200]);
    await server.ask("script", "flush");
    expect(await gateway.statuses("deny", 6)).toEqual([200, 200, 200, 200, 200, 429]);
    expect(gateway.told).toEqual([]);
  });

  it("and is full counts as one that is away, until there is room", async () => {
    const [gateway] = (await start(1, limiting(redis(), STAGES))) as [LimitedGateway];
    expect(await gateway.statuses("deny", 1)).toEqual([200]);
    await server.ask("config", "set", "maxmemory", "1");
    expect(await gateway.statuses("deny", 5)).toEqual([503, 503, 503, 503, 503]);
    expect(await gateway.statuses("local", 5)).toEqual([200, 200, 200, 200, 429]);
    const lost = await askUntil(gateway, LOST, "local");
    expect(lost).toMatchObject({
      level: "warn",
      store: "shared",
      reason: expect.stringContaining("maxmemory"),
    });
    await server.ask("config", "set", "maxmemory", "0");
    await askUntil(gateway, BACK, "local");
    expect(await gateway.statuses("deny", 8)).toEqual([...times(7, 200), 429]);
    expect(gateway.told).toEqual([LOST, BACK]);
  });

  it("and has become a replica counts as one that is away, until it is a primary", async () => {
    const [gateway] = (await start(1, limiting(redis(), STAGES))) as [LimitedGateway];
    const other = using.use(await startRedis());
    expect(await gateway.statuses("deny", 1)).toEqual([200]);
    await server.ask("replicaof", "127.0.0.1", String(other.port));
    await expect.poll(async () => (await gateway.ask("deny")).status).toBe(503);
    expect(await gateway.statuses("local", 5, "b")).toEqual([200, 200, 200, 200, 429]);
    await askUntil(gateway, LOST, "local");
    await server.ask("replicaof", "no", "one");
    await askUntil(gateway, BACK, "local");
    expect(await gateway.statuses("deny", 9, "c")).toEqual([...times(8, 200), 429]);
    expect(gateway.told).toEqual([LOST, BACK]);
  });
});
