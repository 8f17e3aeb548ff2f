/** The same requests at the same time, on threads and gateways: real processes, a real Redis. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { type RunningCli, startCli } from "../support/cli.ts";
import { proxyTo } from "../support/gateway.ts";
import { startRedis } from "../support/redis.ts";
import { startUpstream } from "../support/upstream.ts";

let using: AsyncDisposableStack;
/** Who asked for each request that came to the upstream. */
let asked: string[];
let gate: PromiseWithResolvers<void>;
let url: string;
beforeEach(async () => {
  using = new AsyncDisposableStack();
  asked = [];
  gate = Promise.withResolvers();
  const upstream = using.use(
    await startUpstream(async ({ headers }, response) => {
      const who = headers.authorization ?? "nobody";
      asked.push(who);
      await gate.promise;
      response.writeHead(200, { "cache-control": "no-cache" }).end(`for ${who}`);
    }),
  );
  url = upstream.url;
});
afterEach(() => using.disposeAsync());

const timely = { timeout: 20_000 };

async function start(options: object, parts: object): Promise<RunningCli> {
  const folder = using.adopt(mkdtempSync(join(tmpdir(), "sluice-coalesce-")), (path) =>
    rmSync(path, { recursive: true }),
  );
  const file = join(folder, "gateway.json");
  const pipeline = [{ plugin: "coalesce", key: { host: false }, wait: "50s", ...options }];
  const around = { admin: { address: "127.0.0.1:0" }, log: { access: false }, ...parts };
  writeFileSync(file, JSON.stringify(proxyTo(url, { pipeline }, around)));
  return using.use(await startCli(["-c", file, "--no-supervise"]));
}

async function metric(gateways: readonly RunningCli[], name: string): Promise<number> {
  let sum = 0;
  for (const { adminUrl } of gateways) {
    const text = await (await fetch(new URL("/metrics", adminUrl))).text();
    for (const [, value] of text.matchAll(new RegExp(`^sluice_${name}(?:\\{.*\\})? (\\S+)$`, "gm"))) {
      sum += Number(value);
    }
  }
  return sum;
}

/** Asks gateways in turn, each time on a new connection. */
function ask(gateways: readonly RunningCli[], count: number, who?: string): Promise<string>[] {
  return Array.from({ length: count }, async (_, i) => {
    const headers: Record<string, string> = { connection: "close" };
    if (who !== undefined) headers["authorization"] = who;
    const reply = await fetch(new URL("/a", gateways[i % gateways.length]!.url), { headers });
    return reply.text();
  });
}

/** Waits until so many requests are under way. */
const underWay = (gateways: readonly RunningCli[], count: number): Promise<void> =>
  expect.poll(() => metric(gateways, "active_requests"), timely).toBe(count);

it("two threads send one request for each who asks", async () => {
  const gateways = [await start({}, { threads: 2 })];
  const all = [...ask(gateways, 100, "a"), ...ask(gateways, 100, "b")];
  await underWay(gateways, 200);
  gate.resolve();
  const texts = await Promise.all(all);
  expect(texts).toEqual([...Array(100).fill("for a"), ...Array(100).fill("for b")]);
  expect(asked.toSorted()).toEqual(["a", "b"]);
}, 60_000);

it("two gateways send one request for each who asks, and one goes on when the other is killed", async () => {
  const redis = using.use(await startRedis());
  const parts = { stores: { shared: { type: "redis", url: redis.url, timeout: "5s" } }, threads: 1 };
  const gateways = [await start({ store: "shared" }, parts), await start({ store: "shared" }, parts)];
  gate.resolve();
  for (const gateway of gateways) {
    const hasTurn = async (): Promise<number> => {
      await Promise.all(ask([gateway], 1));
      return metric([gateway], 'coalesce_store_claims_total{.*result="turn".*}');
    };
    await expect.poll(hasTurn, timely).toBeGreaterThan(0); // once it has found the store
  }
  gate = Promise.withResolvers();
  asked = [];
  const all = [...ask(gateways, 100, "a"), ...ask(gateways, 100, "b")];
  await underWay(gateways, 200);
  await expect.poll(() => metric(gateways, "coalesce_store_waits_total"), timely).toBe(2);
  gate.resolve();
  const texts = await Promise.all(all);
  expect(texts).toEqual([...Array(100).fill("for a"), ...Array(100).fill("for b")]);
  expect(asked.toSorted()).toEqual(["a", "b"]);
  await expect.poll(() => redis.ask("keys", "*"), timely).toBe("");

  gate = Promise.withResolvers();
  const [one, other] = [[gateways[0]!], [gateways[1]!]];
  const lost = ask(one, 1)[0]!.catch(() => "lost");
  await expect.poll(() => asked.length, timely).toBe(3);
  const waits = await metric(other, "coalesce_store_waits_total");
  const waiting = ask(other, 10);
  await underWay(other, 10);
  await expect.poll(() => metric(other, "coalesce_store_waits_total"), timely).toBeGreaterThan(waits);
  gateways[0]!.process.kill("SIGKILL");
  expect(await lost).toBe("lost");
  const began = performance.now();
  await expect.poll(() => asked.length, timely).toBe(4);
  expect(performance.now() - began).toBeLessThan(10_000); // far less than `wait`
  gate.resolve();
  expect(await Promise.all(waiting)).toEqual(Array(10).fill("for nobody"));
  expect(asked).toHaveLength(4);
}, 60_000);
