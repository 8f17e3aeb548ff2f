/** Limits that two threads count, as operators see and change them; and limits that hold for all routes. */
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningCli, startCli } from "../support/cli.ts";

const CONFIG = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0, trustedProxies: [127.0.0.1/32] }]
admin: { address: 127.0.0.1:0 }
threads: 2
rateLimits:
  global: { rate: 1000/1h }
  perIp: { rate: 6/1h }
  perUser: { rate: 4/1h, tiers: { gold: { rate: 5/1h } } }
stores:
  away: { type: redis, url: "redis://127.0.0.1:1", timeout: 200ms }
consumers:
  - { name: ann, credentials: [{ apiKey: key-of-ann-0123456789 }] }
  - { name: bob, tier: gold, credentials: [{ apiKey: key-of-bob-0123456789 }] }
routes:
  - { name: users, match: { path: /users }, rateLimits: { perUser: false }, pipeline: [{ plugin: respond }] }
  - { name: orders, match: { path: /orders }, rateLimits: { perUser: false }, pipeline: [{ plugin: respond }] }
  - name: dear
    match: { path: /dear }
    rateLimits: { perIp: { cost: 3 }, perUser: false }
    pipeline: [{ plugin: respond }]
  - name: own
    match: { path: /own }
    rateLimits: { perIp: { rate: 2/1h }, perUser: false }
    pipeline: [{ plugin: respond }]
  - name: keys
    match: { path: /keys }
    rateLimits: { global: false, perIp: false, perUser: false }
    pipeline:
      - { plugin: limit, by: { header: x-api-key }, rate: 2/1h }
      - { plugin: respond }
  - name: known
    match: { path: /known/* }
    rateLimits: { perIp: false }
    pipeline:
      - { plugin: auth, methods: [apiKey] }
      - { plugin: respond }
  - name: shared
    match: { path: /shared }
    rateLimits: { global: false, perIp: false, perUser: false }
    pipeline:
      - { plugin: limit, by: ip, rate: 2/1h, store: away }
      - { plugin: respond }
  - name: free
    match: { path: /free/* }
    rateLimits: { global: false, perIp: false, perUser: false }
    pipeline: [{ plugin: respond }]
`;

let folder: string;
let cli: RunningCli;
let both: [Connection, Connection];

/** A connection to one thread. */
class Connection {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

  /** The status of the reply. */
  async get(path: string, headers: Record<string, string> = {}): Promise<number> {
    const request = http.get(cli.url + path, { agent: this.#agent, headers });
    const [reply] = (await once(request, "response")) as [http.IncomingMessage];
    reply.resume();
    await once(reply, "end");
    return reply.statusCode!;
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** A connection to each of the two threads. */
async function connectBoth(): Promise<[Connection, Connection]> {
  const found: (Connection | undefined)[] = [undefined, undefined];
  for (let i = 0; found.includes(undefined); i++) {
    const connection = new Connection();
    const path = `/free/${i}`;
    await connection.get(path);
    const { thread } = await cli.logged((line) => line["path"] === path);
    if (found[thread as number] === undefined) found[thread as number] = connection;
    else connection.close();
  }
  return found as [Connection, Connection];
}

/** Asks a page of the admin listener. */
async function admin(path: string, method = "GET", body?: object): Promise<Record<string, unknown>> {
  const init = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const reply = await fetch(`${cli.adminUrl}/admin/limits${path}`, init);
  return { status: reply.status, ...((await reply.json()) as object) };
}

const from = (ip: string): Record<string, string> => ({ "x-forwarded-for": ip });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-limit-admin-"));
  await writeFile(join(folder, "gateway.yaml"), CONFIG);
  cli = await startCli(["-c", join(folder, "gateway.yaml"), "--no-supervise"]);
  both = await connectBoth();
});

afterAll(async () => {
  for (const connection of both) connection.close();
  await cli[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** What both threads answer to an address, one after the other, again and again. */
async function askInTurn(path: string, ip: string, times: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < times; i++) statuses.push(await both[i % 2]!.get(path, from(ip)));
  return statuses;
}

it("shows what both threads counted, resets a key on both, bans it and lifts the ban", async () => {
  const limit = "/users:ip-limit";
  expect(await askInTurn("/users", "10.0.0.1", 10)).toEqual([...Array(6).fill(200), 429, 429, 429, 429]);
  await askInTurn("/users", "10.0.0.2", 7);
  const shown = await admin(limit);
  expect(shown).toMatchObject({
    id: "users:ip-limit",
    by: ["global", "ip"],
    mode: "enforce",
    store: null,
    plans: [
      { tier: null, rules: [{ name: "1h", algorithm: "token-bucket", count: 6, burst: 6 }], ban: null },
    ],
    requests: { allowed: 12, limited: 5 },
    banned: 0,
  });
  const top = shown["topKeys"] as { key: string; refused: number }[];
  expect(top.map(({ key, refused }) => [key, refused])).toEqual(
    expect.arrayContaining([
      ["10.0.0.1", 4],
      ["10.0.0.2", 1],
    ]),
  );

  const key = `${limit}/keys/10.0.0.1`;
  expect(await admin(key)).toMatchObject({
    status: 200,
    bannedForMs: 0,
    plans: [{ rules: [{ remaining: 0 }] }],
  });
  expect(await admin(key, "DELETE")).toMatchObject({ plans: [{ rules: [{ remaining: 6, resetMs: 0 }] }] });
  expect(await askInTurn("/users", "10.0.0.1", 2)).toEqual([200, 200]);
  expect(await askInTurn("/users", "10.0.0.2", 2)).toEqual([429, 429]);

  const ban = `${limit}/bans/10.0.0.1`;
  const banned = await admin(ban, "PUT", { for: "10m" });
  expect(banned).toMatchObject({ status: 200, key: "10.0.0.1" });
  expect(banned["bannedForMs"]).toBeGreaterThan(590_000);
  // One count for all routes is one ban for all routes.
  expect([
    ...(await askInTurn("/users", "10.0.0.1", 2)),
    ...(await askInTurn("/orders", "10.0.0.1", 2)),
  ]).toEqual(Array(4).fill(429));
  const listed = await fetch(`${cli.adminUrl}/admin/limits${limit}/bans`);
  expect(await listed.json()).toMatchObject([{ key: "10.0.0.1" }]);
  expect(await admin(ban, "DELETE")).toMatchObject({ bannedForMs: 0 });
  expect(await askInTurn("/users", "10.0.0.1", 2)).toEqual([200, 200]);
  expect(await admin("/users:other/keys/a")).toMatchObject({
    status: 404,
    known: expect.arrayContaining(["users:global-limit", "users:ip-limit"]),
  });
});

it("counts over all routes together, and by itself where a route has a rate of its own", async () => {
  const paths = ["/users", "/orders", "/dear", "/users", "/orders"];
  const statuses: number[] = [];
  for (const [i, path] of paths.entries()) statuses.push(await both[i % 2]!.get(path, from("10.0.1.1")));
  // The third costs three.
  expect(statuses).toEqual([200, 200, 200, 200, 429]);
  expect(await askInTurn("/own", "10.0.1.1", 3)).toEqual([200, 200, 429]);
  expect(await askInTurn("/free/x", "10.0.1.1", 8)).toEqual(Array(8).fill(200));
  const all = (await (await fetch(`${cli.adminUrl}/admin/limits`)).json()) as { id: string }[];
  expect(all.map(({ id }) => id).filter((id) => id.startsWith("dear") || id.startsWith("free"))).toEqual([
    "dear:global-limit",
    "dear:ip-limit",
  ]);
});

it("shows no secrets, though they are counted by", async () => {
  const secret = { "x-api-key": "s3cret-of-mobile" };
  for (let i = 0; i < 5; i++) await both[i % 2]!.get("/keys", secret);
  const shown = await admin("/keys:limit");
  const [top] = shown["topKeys"] as { key: string; refused: number }[];
  expect(top).toMatchObject({ key: expect.stringMatching(/^sha256:[0-9a-f]{32}$/), refused: 3 });
  await admin(`/keys:limit/keys/${top!.key}`, "DELETE");
  expect(await both[0].get("/keys", secret)).toBe(200);
  const metrics = await (await fetch(`${cli.adminUrl}/metrics`)).text();
  expect(JSON.stringify([shown, cli.lines]) + metrics).not.toContain("s3cret");
});

it("counts consumers wherever they come from, by the rate of their tier", async () => {
  const ask = (name: string, i: number): Promise<number> =>
    both[i % 2]!.get(`/known/${i}`, { "x-api-key": `key-of-${name}-0123456789`, ...from(`10.0.2.${i}`) });
  const statuses = async (name: string): Promise<number[]> => {
    const all: number[] = [];
    for (let i = 0; i < 6; i++) all.push(await ask(name, i));
    return all;
  };
  expect(await statuses("ann")).toEqual([200, 200, 200, 200, 429, 429]);
  expect(await statuses("bob")).toEqual([200, 200, 200, 200, 200, 429]);
  expect(await admin("/known:user-limit")).toMatchObject({ plans: [{ tier: null }, { tier: "gold" }] });
  expect(await admin("/known:user-limit/keys/bob")).toMatchObject({
    plans: [
      { tier: null, rules: [{ name: "1h", remaining: 0 }] },
      { tier: "gold", rules: [{ name: "1h", remaining: 0 }] },
    ],
  });
  await admin("/known:user-limit/keys/bob", "DELETE");
  expect(await ask("bob", 7)).toBe(200);
  expect(await ask("ann", 8)).toBe(429);
});

it("says that nothing is known of keys while their store is away", async () => {
  expect(await both[0].get("/shared")).toBe(200);
  expect(await admin("/shared:limit")).toMatchObject({
    status: 200,
    store: "away",
    banned: null,
    bans: null,
  });
  for (const [path, method] of [
    ["keys/10.0.0.1", "GET"],
    ["keys/10.0.0.1", "DELETE"],
    ["bans", "GET"],
    ["bans/10.0.0.1", "DELETE"],
  ] as const) {
    expect(await admin(`/shared:limit/${path}`, method)).toMatchObject({ status: 503 });
  }
  expect(await admin("/shared:limit/bans/10.0.0.1", "PUT", { for: "1m" })).toMatchObject({
    status: 503,
    code: "STORE_UNAVAILABLE",
  });
});
