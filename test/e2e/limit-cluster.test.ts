/** Limits whose counts are in a cluster of six nodes, of which one dies: real processes, real failovers. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Asked,
  hammer,
  lasting,
  type LimitedGateway,
  limiting,
  startGateways,
} from "../support/limited-gateways.ts";
import { type RedisCluster, type RedisServer, startRedisCluster } from "../support/redis.ts";

const LIMIT = 3000;
/** What comes back of it in a test is less than a unit. */
const RATE = { rate: `${LIMIT}/365d`, timeout: "200ms" };

let cluster: RedisCluster;
let using: AsyncDisposableStack;
beforeEach(async () => {
  using = new AsyncDisposableStack();
  cluster = using.use(await startRedisCluster(1));
});
afterEach(() => using.disposeAsync());

async function start(
  stages: Record<string, object>,
  count = 2,
  timeout = "500ms",
): Promise<LimitedGateway[]> {
  const { nodes } = cluster;
  const gateways = await startGateways(count, limiting({ type: "redis-cluster", nodes, timeout }, stages));
  for (const gateway of gateways) using.use(gateway);
  return gateways;
}

/** The primary that counts, as long as all counts are of one key. */
async function counting(): Promise<RedisServer> {
  for (const server of cluster.servers) {
    const isPrimary = (await server.ask("role")).startsWith("master");
    if (isPrimary && (await server.ask("dbsize")) !== "0") return server;
  }
  return expect.fail("no primary has a key");
}

async function replicasOf({ port }: RedisServer): Promise<RedisServer[]> {
  const roles = await Promise.all(cluster.servers.map((server) => server.ask("role")));
  return cluster.servers.filter((_, i) => roles[i]!.startsWith("slave") && roles[i]!.includes(`\n${port}\n`));
}

/** A key that is counted elsewhere. */
async function keyBeside(server: RedisServer, gateway: LimitedGateway): Promise<string> {
  for (let i = 0; ; i++) {
    const size = await server.ask("dbsize");
    await gateway.ask("limited", `key${i}`);
    if ((await server.ask("dbsize")) === size) return `key${i}`;
  }
}

/** Some clients of each gateway that ask for one key all the time. */
class Load {
  readonly #asked: Promise<unknown>;
  readonly #seen: Asked[] = [];
  #isOn = true;

  constructor(gateways: readonly LimitedGateway[], stage: string) {
    this.#asked = hammer(gateways, stage, 4, () => this.#isOn, this.#seen);
  }

  get admitted(): Asked[] {
    return this.#seen.filter(({ status }) => status === 200);
  }

  /** The limit is used up, as far as anybody can see. */
  get isRefused(): boolean {
    return this.#seen.slice(-50).every(({ status }) => status === 429);
  }

  until(isSo: (load: Load) => boolean): Promise<void> {
    return expect.poll(() => isSo(this)).toBe(true);
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    await this.#asked;
  }
}

/** Kills a primary, and waits until the gateways have found its replica. */
async function failOver(
  gateways: readonly LimitedGateway[],
  primary: RedisServer,
  load: Load,
): Promise<void> {
  const told = gateways.map((gateway) => gateway.told.length);
  await primary.kill();
  await load.until(() =>
    gateways.every((gateway, i) => gateway.told.slice(told[i]).includes("limits count in their store again")),
  );
}

const MODES = { exact: {}, lease: { lease: {} } };

describe.each(Object.entries(MODES))("a primary that dies under load: %s", (_, mode) => {
  const begin = async (options: object): Promise<[LimitedGateway[], RedisServer, Load]> => {
    const gateways = await start({ limited: { ...RATE, ...mode, ...options } });
    expect((await gateways[0]!.ask("limited")).status).toBe(200);
    const primary = await counting();
    const load = new Load(gateways, "limited");
    await load.until(({ admitted }) => admitted.length > LIMIT / 5);
    return [gateways, primary, load];
  };

  it("is replaced by its replica, which has its counts", async () => {
    const [gateways, primary, load] = await begin({ onStoreError: "deny" });
    await failOver(gateways, primary, load);
    await load.until(({ isRefused }) => isRefused);
    await load.stop();
    // What the primary had not sent to its replica, if anything, was under way when it died.
    expect(load.admitted.length + 1).toBeLessThanOrEqual(LIMIT + 8);
  });

  it("takes with it what its replica has not heard of: that is admitted once more, and nothing else", async () => {
    const [gateways, primary, load] = await begin({ onStoreError: "deny" });
    const heard = load.admitted.length;
    await primary.ask("acl", "setuser", "default", "-psync", "-sync");
    await primary.ask("client", "kill", "type", "replica");
    await load.until(({ isRefused }) => isRefused);
    await failOver(gateways, primary, load);
    await load.until(({ isRefused }) => isRefused);
    await load.stop();
    expect(load.admitted.length).toBeGreaterThan(LIMIT);
    expect(load.admitted.length).toBeLessThanOrEqual(2 * LIMIT - heard);
  });

  it("each gateway may admit its share meanwhile, and no more", async () => {
    const [gateways, primary, load] = await begin({ onStoreError: "local", localShare: "10%" });
    await failOver(gateways, primary, load);
    await load.until(({ isRefused }) => isRefused);
    await load.stop();
    expect(load.admitted.length).toBeLessThanOrEqual(LIMIT + 2 * 0.1 * LIMIT + 8);
  });
});

it("a part of a cluster that is lost takes no decisions from keys of the others", async () => {
  for (const server of cluster.servers)
    await server.ask("config", "set", "cluster-require-full-coverage", "no");
  const [gateway] = await start(
    { limited: { ...RATE, rate: "1000000/365d", timeout: "1s", onStoreError: "deny" } },
    1,
    "1s",
  );
  await gateway!.ask("limited", "lost");
  const primary = await counting();
  const kept = await keyBeside(primary, gateway!);
  const [replica] = await replicasOf(primary);
  await replica!.kill();
  primary.freeze();
  const [lost, others]: Asked[][] = [[], []];
  const isOn = lasting(4000);
  await Promise.all([
    hammer([gateway!], "limited", 24, isOn, lost, "lost"),
    hammer([gateway!], "limited", 4, isOn, others, kept),
  ]);
  expect(new Set(others!.map(({ status }) => status))).toEqual(new Set([200]));
  expect(new Set(lost!.map(({ status }) => status))).toEqual(new Set([503]));
  const waited = lost!.filter(({ sentAt, answeredAt }) => answeredAt - sentAt > 950);
  // Those that came first, and one every 250 ms; if all did there were 96.
  expect(waited.length).toBeLessThan(64);
  expect(gateway!.told).toEqual([]);
});
