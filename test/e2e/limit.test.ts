/** The limit plugin over sockets, with four threads: the real command line. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { Agent, get, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseRateLimit } from "ratelimit-header-parser";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type RunningCli, startCli } from "../support/cli.ts";
import { proxyTo, startGateway, type TestGateway } from "../support/gateway.ts";
import { awayFromMidnight } from "../support/midnight.ts";
import { startUpstream } from "../support/upstream.ts";

const LIMIT = 300;
const ALGORITHMS = [
  "token-bucket",
  "fixed-window",
  "sliding-window-log",
  "sliding-window-counter",
  "hybrid",
] as const;

const route = (name: string, ...limits: object[]): object => ({
  name,
  match: { path: `/${name}` },
  pipeline: [...limits.map((limit) => ({ plugin: "limit", ...limit })), { plugin: "respond", body: name }],
});

/** Rates of a day: nothing comes back while a test runs. */
const config = (changing: object): object => ({
  apiVersion: "sluice/v1",
  listeners: [{ address: "127.0.0.1:0" }],
  admin: { address: "127.0.0.1:0" },
  threads: 4,
  log: { access: false },
  drainTimeout: "1s",
  routes: [
    ...ALGORITHMS.map((algorithm) => route(algorithm, { algorithm, rate: `${LIMIT}/1d` })),
    route("two", { rate: `${LIMIT}/1d` }, { name: "tight", by: "ip", rate: `${LIMIT / 2}/7d` }),
    route("shared-one", { name: "common", by: "global", rate: `${LIMIT}/1d` }),
    route("shared-two", { name: "common", by: "global", rate: `${LIMIT}/1d` }),
    route("banned", { by: { header: "x-client" }, rate: "1/1d", ban: { after: 3, for: "1h" } }),
    route("changing", changing),
  ],
});

let folder: string;
let gateway: RunningCli;
const agent = new Agent({ keepAlive: true, maxSockets: 24 });

const write = (changing: object): Promise<void> =>
  writeFile(join(folder, "gateway.json"), JSON.stringify(config(changing)));

beforeAll(async () => {
  await awayFromMidnight();
  folder = await mkdtemp(join(tmpdir(), "sluice-limit-"));
  await write({ rate: "100/1d" });
  gateway = await startCli(["-c", join(folder, "gateway.json")]);
});

afterAll(async () => {
  agent.destroy();
  await gateway[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function ask(path: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const [response] = (await once(get(gateway.url + path, { agent, headers }), "response")) as [
    IncomingMessage,
  ];
  response.resume();
  await once(response, "end");
  return response;
}

/** Sends so many requests at once over all connections. Gives how many of them were let in. */
async function hammer(count: number, ...paths: string[]): Promise<number> {
  const all = Array.from({ length: count }, (_, i) => ask(paths[i % paths.length]!));
  const statuses = (await Promise.all(all)).map(({ statusCode }) => statusCode);
  expect(statuses.filter((status) => status !== 200 && status !== 429)).toEqual([]);
  return statuses.filter((status) => status === 200).length;
}

const remaining = async (path: string): Promise<number> =>
  parseRateLimit((await ask(path)).headers)!.remaining;

describe("a key that four threads count", () => {
  it.each(ALGORITHMS)("is let in exactly as often as the limit says: %s", async (algorithm) => {
    expect(await hammer(LIMIT * 1.5, `/${algorithm}`)).toBe(LIMIT);
    const { headers } = await ask(`/${algorithm}`);
    expect(parseRateLimit(headers)).toMatchObject({ limit: LIMIT, remaining: 0 });
    expect(Number(headers["retry-after"])).toBeGreaterThan(0);
  });

  it("is let in as often as the tighter of two stages says", async () => {
    expect(await hammer(LIMIT - 10, "/two")).toBe(LIMIT / 2);
    const { headers } = await ask("/two");
    expect(headers["ratelimit-policy"]).toBe(`"tight:7d";q=${LIMIT / 2};w=604800, "1d";q=${LIMIT};w=86400`);
  });

  it("is let in as often as the limit says over all routes that count together", async () => {
    expect(await hammer(LIMIT * 1.5, "/shared-one", "/shared-two")).toBe(LIMIT);
  });

  it("shows in the metrics as what became of its requests", async () => {
    const metrics = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
    const count = (outcome: string): number =>
      Number(
        new RegExp(
          `sluice_limit_requests_total\\{route="hybrid",stage="limit",outcome="${outcome}"\\} (\\d+)`,
        ).exec(metrics)![1],
      );
    expect([count("allowed"), count("limited")]).toEqual([LIMIT, LIMIT / 2 + 1]);
  });
});

it("bans on all threads who is refused too often, and nobody else", async () => {
  const as = async (client: string): Promise<[number | undefined, string | undefined]> => {
    const { statusCode, headers } = await ask("/banned", { "x-client": client });
    return [statusCode, headers["retry-after"]];
  };
  for (let i = 0; i < 4; i++) await as("rude");
  const answers = await Promise.all(Array.from({ length: 24 }, () => as("rude")));
  expect(new Set(answers.map(([status]) => status))).toEqual(new Set([429]));
  expect(answers.every(([, seconds]) => Number(seconds) > 3500 && Number(seconds) <= 3600)).toBe(true);
  expect((await as("polite"))[0]).toBe(200);
});

it("keeps what was consumed over a reload, and when the rate has changed", async () => {
  const activated = (generation: number) =>
    gateway.logged((line) => line["msg"] === "configuration activated" && line["generation"] === generation);
  await hammer(49, "/changing");
  expect(await remaining("/changing")).toBe(50);
  await write({ rate: "100/1d", headers: ["ratelimit", "x-ratelimit"] });
  await activated(2);
  expect(await remaining("/changing")).toBe(49);
  await write({ rate: "200/1d" });
  await activated(3);
  expect(await remaining("/changing")).toBe(148);
  await write({ rate: "60/1d" });
  await activated(4);
  expect(await hammer(20, "/changing")).toBe(8);
});

describe("what a request costs in the end", () => {
  const charging = (url: string): object =>
    proxyTo(
      url,
      { pipeline: [{ plugin: "limit", rate: "10/1d", charge: { header: "x-cost", statuses: [499, 502] } }] },
      { admin: { address: "127.0.0.1:0" } },
    );
  const left = async ({ adminUrl }: TestGateway): Promise<number> => {
    const page = await fetch(`${adminUrl}/admin/limits/all:limit/keys/all`);
    const { plans } = (await page.json()) as { plans: { rules: { remaining: number }[] }[] };
    return plans[0]!.rules[0]!.remaining;
  };

  it("is what the upstream says, which the client does not see; nothing when it breaks the connection", async () => {
    await using upstream = await startUpstream((request, response) => {
      if (request.url === "/broken") request.socket.destroy();
      else response.writeHead(200, { "x-cost": "4" }).end("answer");
    });
    await using own = await startGateway(charging(upstream.url));
    const reply = await fetch(own.url);
    expect([reply.headers.get("x-cost"), parseRateLimit(reply)!.remaining]).toEqual([null, 6]);
    const failed = await fetch(`${own.url}/broken`);
    expect([failed.status, parseRateLimit(failed)!.remaining, await left(own)]).toEqual([502, 6, 6]);
  });

  it("can be nothing for clients that went away", async () => {
    const arrived = Promise.withResolvers<void>();
    await using upstream = await startUpstream(() => arrived.resolve());
    await using own = await startGateway(charging(upstream.url));
    const request = get(own.url, { agent: false }).on("error", () => {});
    await arrived.promise;
    expect(await left(own)).toBe(9);
    request.destroy();
    while ((await left(own)) !== 10);
  });
});
