/** Limits that take units from Redis ahead: how often they ask it, and what is left when a gateway ends. */
import { parseRateLimit } from "ratelimit-header-parser";
import { afterAll, beforeAll, expect, it } from "vitest";
import { config, startGateway, type TestGateway } from "../support/gateway.ts";
import { awayFromMidnight } from "../support/midnight.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

let redis: RedisServer;
beforeAll(async () => {
  await awayFromMidnight();
  redis = await startRedis();
});
afterAll(() => redis[Symbol.asyncDispose]());

const route = (name: string, stage: object): object => ({
  name,
  match: { path: `/${name}` },
  pipeline: [
    { plugin: "limit", algorithm: "fixed-window", rate: "1000/1d", timeout: "2s", ...stage },
    { plugin: "respond" },
  ],
});

const start = (): Promise<TestGateway> => {
  const store = { type: "redis", url: redis.url, timeout: "2s" };
  return startGateway(
    config({
      admin: { address: "127.0.0.1:0" },
      stores: { asked: store, leasing: store },
      routes: [
        route("each", { store: "asked" }),
        route("leased", { store: "leasing", lease: { share: "10%", time: "1h" } }),
      ],
    }),
  );
};

async function callsTo(store: string, { adminUrl }: TestGateway): Promise<number> {
  const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
  return Number(
    new RegExp(`sluice_store_calls_total\\{store="${store}",result="ok"\\} (\\d+)`).exec(metrics)![1],
  );
}

it("asks a tenth as often, and gives back what it has in hand when it stops", async () => {
  const gateway = await start();
  for (let i = 0; i < 200; i++) {
    expect((await fetch(`${gateway.url}/each`)).status).toBe(200);
    expect((await fetch(`${gateway.url}/leased`)).status).toBe(200);
  }
  expect(await callsTo("asked", gateway)).toBe(200);
  expect(await callsTo("leasing", gateway)).toBeLessThanOrEqual(20);
  await gateway.stop();

  await using next = await start();
  expect(parseRateLimit(await fetch(`${next.url}/each`))!.remaining).toBe(799);
  expect(await left(next)).toMatchObject({ remaining: 800 });
});

/** What Redis has for the leased route. */
async function left({ adminUrl }: TestGateway): Promise<unknown> {
  const page = await fetch(`${adminUrl}/admin/limits/leased:limit/keys/leased`);
  return ((await page.json()) as { plans: { rules: unknown[] }[] }).plans[0]!.rules[0];
}
