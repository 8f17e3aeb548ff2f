/** What caches on several threads and gateways ask the upstream for when what they have is stale. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Exchange, Reply } from "../../../core/plugin.ts";
import { type FakeClock, reply } from "../../support/harness.ts";
import { type JoinedCache, JoinedCaches } from "../../support/joined-caches.ts";
import { type RedisServer, startRedis } from "../../support/redis.ts";

/** Everything is validated after a second, and never changes. */
const VALIDATED = { "cache-control": "max-age=1, stale-if-error=60", etag: '"1"' };
const REFRESHED = { "cache-control": "max-age=1, stale-while-revalidate=60", etag: '"1"' };

let using: AsyncDisposableStack;
let clock: FakeClock;
let caches: JoinedCaches;
let gate: PromiseWithResolvers<void>;
let asked: Exchange[];
let headers: Record<string, string>;
beforeEach(() => {
  using = new AsyncDisposableStack();
  caches = new JoinedCaches(using, upstream);
  clock = caches.clock;
  asked = [];
  headers = VALIDATED;
  gate = Promise.withResolvers();
});
afterEach(() => using.disposeAsync());

async function upstream(x: Exchange): Promise<Reply> {
  asked.push(x);
  await gate.promise;
  return x.headers.get("if-none-match") === '"1"' ? reply(304, headers) : reply(200, headers, "text");
}

/** Waits until so many requests have come to the upstream. */
const askedTimes = (times: number): Promise<void> => expect.poll(() => asked.length).toBe(times);

/** Waits until threads have heard of each other what there is to hear. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

/** Caches that all have something that has just become stale. */
async function makeStale(stale: readonly JoinedCache[]): Promise<void> {
  gate.resolve();
  for (const each of stale) expect(await each.get()).toMatch(/^200 text/);
  expect(asked).toHaveLength(1);
  clock.advance(2000);
  asked = [];
  gate = Promise.withResolvers();
}

it.each([
  ["30s", "20ms", 2],
  ["20ms", "30s", 1],
])("another thread is waited for as the newest options say: %s, then %s", async (old, wait, times) => {
  const [fetching, waiting] = await caches.openThreads(3, { coalesce: { wait: old } });
  const reloaded = await caches.open(waiting!.host, { coalesce: { wait } });
  const replies = [fetching!.get()];
  await askedTimes(1);
  replies.push(reloaded.get());
  await settled();
  await askedTimes(times);
  gate.resolve();
  for (const got of await Promise.all(replies)) expect(got).toMatch(/^200 text/);
});

describe("of three threads that have something stale", () => {
  // The first one has fetched it.
  it.each([[[1, 2]], [[2, 0, 1]], [[1, 0]]])(
    "one validates it, and the others wait for that: %j",
    async (who) => {
      const threads = await caches.openThreads(3);
      await makeStale(threads);
      const replies = who.map((thread) => threads[thread]!.get());
      await askedTimes(1);
      await settled();
      clock.advance(1);
      gate.resolve();
      for (const got of await Promise.all(replies)) expect(got).toMatch(/^200 text/);
      expect(asked.map((x) => x.headers.get("if-none-match"))).toEqual(['"1"']);
    },
  );

  it("each refreshes it behind its replies, whoever has brought it", async () => {
    headers = REFRESHED;
    const threads = await caches.openThreads(3);
    await makeStale(threads);
    expect(await threads[2]!.get()).toContain("stale-while-revalidate");
    await askedTimes(1);
    clock.advance(1);
    gate.resolve();
    await expect.poll(() => threads[2]!.get()).toMatch(/hit; ttl=\d$/);
    expect(asked).toHaveLength(1);
  });

  it("each asks by itself when it has to be validated each time: it may be for one client", async () => {
    headers = { "cache-control": "no-cache", etag: '"1"' };
    const threads = await caches.openThreads(3);
    const replies = threads.map((thread) => thread.get());
    await askedTimes(1);
    await settled();
    clock.advance(1);
    gate.resolve();
    for (const got of await Promise.all(replies)) expect(got).toMatch(/^200 text/);
    expect(asked).toHaveLength(3);
  });
});

describe("of two gateways with a store", () => {
  let server: RedisServer;
  beforeEach(async () => {
    server = using.use(await startRedis());
  });
  const waits = (gateways: readonly JoinedCache[]): number =>
    gateways
      .map(({ host }) => Object.values(host.collected("sluice_cache_store_waits_total"))[0]!)
      .reduce((sum, each) => sum + each);

  it.each([
    ["in memory", 2],
    ["in the store", 1],
  ])("one validates what is stale, and the others wait for that: %s", async (_, count) => {
    const gateways = await caches.openGateways(2, server.url);
    await makeStale(gateways.slice(0, count));
    await expect.poll(() => server.ask("keys", "*}")).not.toBe("");
    const before = waits(gateways);
    const replies = gateways.map((gateway) => gateway.get());
    await expect.poll(() => waits(gateways)).toBe(before + 1);
    await askedTimes(1);
    clock.advance(1);
    gate.resolve();
    for (const got of await Promise.all(replies)) expect(got).toMatch(/^200 text/);
    expect(asked.map((x) => x.headers.get("if-none-match"))).toEqual(['"1"']);
  });

  it.each([
    ["", {}],
    ["of other headers", { "x-a": "1" }],
  ])("a change at one is one for the memory of the other, too: %s", async (_, own) => {
    gate.resolve();
    headers = { "cache-control": "max-age=60" };
    const key = { headers: ["x-a"] };
    const [one, other] = (await caches.openGateways(2, server.url, { key })) as [JoinedCache, JoinedCache];
    await expect.poll(() => server.ask("keys", "*purges")).not.toBe("");
    const records = (): Promise<string> => server.ask("llen", "sluice:cache:purges");
    const change = async (): Promise<void> => {
      for (let i = 0; i < 3; i++) await one.get({ method: "PUT" });
      // Behind all that is on its way to the store; what the store did not know is sent a second time.
      for (let i = 0; i < 2; i++) await one.host.stores.get("main")!.get("nothing");
    };
    await change();
    expect(await other.get({ headers: own })).toContain("stored");
    expect(await other.get({ headers: own })).toContain("hit");
    expect(await records()).toBe("1"); // nothing was stored when it was changed
    await change();
    await expect.poll(() => other.get({ headers: own })).toContain("uri-miss");
    expect(await records()).toBe("2");
    expect(await one.get({ headers: own })).toMatch(/hit|stored/);
  });
});
