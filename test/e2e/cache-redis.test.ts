/** Caches of several gateways with one Redis, which fails in every way it can: real processes, real failures. */
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  bodyOf,
  type CachedGateway,
  CacheLoad,
  caching,
  type Origin,
  startCaches,
  startOrigin,
} from "../support/cached-gateways.ts";
import { freePort } from "../support/ports.ts";
import { RedisServer } from "../support/redis.ts";

let using: AsyncDisposableStack;
let origin: Origin;
let redis: RedisServer;
beforeEach(async () => {
  using = new AsyncDisposableStack();
  origin = using.use(await startOrigin());
  redis = using.use(new RedisServer(await freePort(), []));
});
afterEach(() => using.disposeAsync());

async function start(count: number, options: object = {}, timeout = "200ms"): Promise<CachedGateway[]> {
  const stores = { shared: { type: "redis", url: redis.url, timeout } };
  const gateways = await startCaches(count, caching(origin.url, { store: "shared", ...options }, { stores }));
  for (const gateway of gateways) using.use(gateway);
  return gateways;
}

async function sumOf(gateways: readonly CachedGateway[], name: string, labels?: string): Promise<number> {
  const all = await Promise.all(gateways.map((gateway) => gateway.metric(name, labels)));
  return all.reduce((sum, each) => sum + each);
}

/** Waits until each has from the store what another one has fetched. */
async function untilShared(gateways: readonly CachedGateway[]): Promise<void> {
  let path = 0;
  for (const [i, gateway] of gateways.entries()) {
    const other = gateways[(i + 1) % gateways.length]!;
    await expect
      .poll(async () => {
        await other.ask(`/shared-${++path}`);
        return (await gateway.ask(`/shared-${path}`)).cache;
      })
      .toContain("detail=store");
  }
}

const WAIT_MS = 5000;

it("one of two gateways sends one request for many, however long it takes, and others go on when it is killed meanwhile", async () => {
  await redis.start();
  const gateways = await start(2, { coalesce: { wait: `${WAIT_MS}ms` } }, "2s");
  const [one, other] = [gateways[0]!, gateways[1]!];
  await untilShared(gateways);
  const first = Promise.withResolvers<void>();
  origin.gate = first.promise;
  const replies = Array.from({ length: 1000 }, (_, i) => gateways[i % 2]!.ask("/a"));
  await expect.poll(() => sumOf(gateways, "store_waits_total")).toBeGreaterThan(0);
  first.resolve();
  for (const { status, text } of await Promise.all(replies)) {
    expect([status, text]).toEqual([200, bodyOf("/a")]);
  }
  expect(origin.asked.get("/a")).toBe(1);

  origin.gate = new Promise((resolve) => setTimeout(resolve, 0.8 * WAIT_MS));
  await Promise.all(gateways.map((gateway) => gateway.ask("/slow")));
  expect(origin.asked.get("/slow")).toBe(1);

  const second = Promise.withResolvers<void>();
  origin.gate = second.promise;
  const lost = one.ask("/b").catch(() => "lost");
  await expect.poll(() => origin.asked.get("/b")).toBe(1);
  const waits = await other.metric("store_waits_total");
  const waiting = Array.from({ length: 10 }, () => other.ask("/b"));
  await expect.poll(() => other.metric("store_waits_total")).toBeGreaterThan(waits);
  const killedAt = performance.now();
  one.cli.process.kill("SIGKILL");
  await expect.poll(() => origin.asked.get("/b")).toBe(2);
  expect(performance.now() - killedAt).toBeLessThan(0.8 * WAIT_MS);
  second.resolve();
  for (const { text } of await Promise.all(waiting)) expect(text).toBe(bodyOf("/b"));
  expect(await lost).toBe("lost");
  expect(origin.asked.get("/b")).toBe(2);
});

const PATHS = Array.from({ length: 40 }, (_, i) => `/${"x".repeat(i)}-${i}`);
const AWAY = "caches do without their store until it answers again";
const BACK = "caches use their store again";

it("a store may be away, hang, be emptied or full, or hold what cannot be read: every request is answered right", async () => {
  origin.control = "max-age=1"; // so that the store is asked all the time
  const gateways = await start(2, { compressAbove: "4KB" });
  const load = new CacheLoad(gateways, PATHS);
  using.defer(() => load.stop());
  const more = (name: string, labels: string): Promise<unknown> =>
    Promise.all(
      gateways.map(async (gateway) => {
        const before = await gateway.metric(name, labels);
        await expect.poll(() => gateway.metric(name, labels)).toBeGreaterThan(before);
      }),
    );
  const isUsed = async (): Promise<void> => {
    await more("store_lookups_total", 'result="hit"');
    await more("store_writes_total", 'result="stored"');
  };
  const goes = async (act: () => unknown, state: string): Promise<void> => {
    await act();
    const states = (): string[] => gateways.map(({ told }) => told.at(-1)!);
    await expect.poll(states).toEqual([state, state]);
  };
  await more("store_lookups_total", 'result="skipped"'); // nobody is there to begin with
  await goes(() => redis.start(), BACK);
  await isUsed();
  await goes(() => redis.kill(), AWAY);
  await goes(() => redis.start(), BACK);
  await isUsed();
  await goes(() => redis.freeze(), AWAY);
  await more("store_lookups_total", 'result="skipped"');
  await goes(() => redis.thaw(), BACK);
  await redis.ask("flushall");
  await isUsed();
  await redis.ask("config", "set", "maxmemory", "1");
  await more("store_writes_total", 'result="failed"');
  await redis.ask("config", "set", "maxmemory", "0");
  const spoil = `
    for _, key in ipairs(redis.call('KEYS', 'sluice:cache:*}')) do
      redis.call('SETRANGE', key, (ARGV[1] + redis.call('STRLEN', key)) % redis.call('STRLEN', key), ARGV[2])
    end`;
  for (const [at, bytes] of [
    ["3", "\x02"],
    ["-10", "spoiled"],
  ] as const) {
    const corrupt = (): Promise<number> => sumOf(gateways, "store_lookups_total", 'result="corrupt"');
    const before = await corrupt();
    await expect
      .poll(async () => {
        await redis.ask("eval", spoil, "0", at, bytes);
        return corrupt();
      })
      .toBeGreaterThan(before);
  }
  await isUsed();
  await load.stop();
  expect(load.failures).toEqual([]);
  expect(load.answered).toBeGreaterThan(100);
});

it("what waits to be written is written when a gateway is stopped", async () => {
  await redis.start();
  const [gateway] = await start(1, { strategy: "write-behind" });
  await expect
    .poll(async () => {
      await gateway!.ask("/first");
      return gateway!.metric("store_writes_total", 'result="stored"');
    })
    .toBeGreaterThan(0);
  redis.freeze();
  await Promise.all(PATHS.map((path) => gateway!.ask(path)));
  expect(await gateway!.metric("store_waiting")).toBe(PATHS.length);
  const stopped = gateway!.cli.stop();
  await gateway!.cli.logged((line) => String(line["msg"]).startsWith("stopping"));
  redis.thaw();
  expect(await stopped).toBe(0);
  const [next] = await start(1, { strategy: "write-behind" });
  await expect.poll(async () => (await next!.ask("/first")).cache).toContain("hit");
  for (const path of PATHS) expect((await next!.ask(path)).cache).toContain("detail=store");
  for (const path of PATHS) expect(origin.asked.get(path)).toBe(1);
});
