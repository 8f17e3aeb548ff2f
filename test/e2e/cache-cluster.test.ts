/** Caches of two gateways with a Redis Cluster of six nodes, of which a primary dies: real processes, a real failover. */
import { expect, it } from "vitest";
import { CacheLoad, caching, startCaches, startOrigin } from "../support/cached-gateways.ts";
import { startRedisCluster } from "../support/redis.ts";

const PATHS = Array.from({ length: 60 }, (_, i) => `/${i}`);

it("a primary that dies under load fails no request, and what its replica has is used again", async () => {
  await using cluster = await startRedisCluster(1);
  await using origin = await startOrigin("max-age=1"); // so that the store is asked all the time
  const stores = { shared: { type: "redis-cluster", nodes: cluster.nodes, timeout: "300ms" } };
  await using using = new AsyncDisposableStack();
  const gateways = await startCaches(2, caching(origin.url, { store: "shared" }, { stores }));
  for (const gateway of gateways) using.use(gateway);
  const load = new CacheLoad(gateways, PATHS);
  using.defer(() => load.stop());
  const isUsed = (): Promise<unknown> =>
    Promise.all(
      gateways.map(async (gateway) => {
        const hits = await gateway.metric("store_lookups_total", 'result="hit"');
        const stored = await gateway.metric("store_writes_total", 'result="stored"');
        await expect
          .poll(() => gateway.metric("store_lookups_total", 'result="hit"'))
          .toBeGreaterThan(hits + PATHS.length);
        await expect
          .poll(() => gateway.metric("store_writes_total", 'result="stored"'))
          .toBeGreaterThan(stored);
      }),
    );
  await isUsed();
  const [primary] = cluster.servers;
  expect(await primary!.ask("role")).toMatch(/^master/);
  expect(Number(await primary!.ask("dbsize"))).toBeGreaterThan(0);
  await primary!.kill();
  const survivors = cluster.servers.slice(1);
  const primaries = async (): Promise<number> => {
    const roles = await Promise.all(survivors.map((server) => server.ask("role")));
    return roles.filter((role) => role.startsWith("master")).length;
  };
  await expect.poll(primaries).toBe(3);
  const skippedOrFailed = async (): Promise<number> => {
    const [away, failed] = [/skipped/.source, /error/.source];
    const all = gateways.flatMap((gateway) =>
      [away, failed].map((result) => gateway.metric("store_lookups_total", `result="${result}"`)),
    );
    return (await Promise.all(all)).reduce((sum, each) => sum + each);
  };
  expect(await skippedOrFailed()).toBeGreaterThan(0);
  // All parts of the cluster are asked again.
  await expect
    .poll(async () => {
      const before = await skippedOrFailed();
      await isUsed();
      return (await skippedOrFailed()) - before;
    })
    .toBe(0);
  await load.stop();
  expect(load.failures).toEqual([]);
});
