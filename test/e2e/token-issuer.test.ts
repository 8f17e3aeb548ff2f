/** Logins through the real command line: two gateways, each of two threads, with one Redis. */
import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { parse } from "yaml";
import { createGateway } from "../../core/embed.ts";
import { TempFolder } from "../core/config/temp-folder.ts";
import { runCli, startCli } from "../support/cli.ts";
import { hashOf } from "../support/passwords.ts";
import { startRedis } from "../support/redis.ts";
import { startUpstream } from "../support/upstream.ts";

const EXAMPLE = new URL("../../examples/token-issuer.yaml", import.meta.url).pathname;
const PASSWORD = "planted pässword of alice";
const OTHER = "planted second password";
const [privatePem = "", publicPem = ""] = [...readFileSync(EXAMPLE, "utf8").matchAll(/-----BEGIN[^}]+/g)].map(
  ([text]) => text.replaceAll(/\\n\\\n\s*/g, "\\n"),
);

let folder: TempFolder;
beforeEach(() => {
  folder = new TempFolder();
});
afterEach(() => folder.remove());

const writeUsers = (password: string): string =>
  folder.write(
    "users.yml",
    `consumers: [{ name: Alice, roles: [user], credentials: [{ username: alice, passwordHash: "${hashOf(password)}" }] }]\n`,
  );

const writeConfig = (name: string, redis: string, keys: string): string =>
  folder.write(
    name,
    `apiVersion: sluice/v1
include: [users.yml]
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 2
log: { level: debug }
audit: { allowed: true }
stores: { shared: { type: redis, url: "${redis}", timeout: 5s } }
routes:
  - name: login
    match: { path: /auth/* }
    pipeline:
      - { plugin: token-issuer, issuer: sluice, audience: orders, key: "${privatePem}", grace: 0s, store: shared }
  - name: local
    match: { path: /local/* }
    pipeline:
      - { plugin: token-issuer, issuer: local, audience: orders, key: "${privatePem}", grace: 0s }
  - name: me
    match: { path: /me }
    pipeline:
      - plugin: auth
        methods:
          - jwt: { issuers: [{ issuer: sluice, audience: orders, algorithms: [EdDSA], typ: at+jwt, ${keys} }] }
      - { plugin: respond, body: "{consumer.name}" }
`,
  );

type Tokens = Record<"access_token" | "refresh_token", string>;

it("logs users in for all gateways, each token once, and nobody while the store is away", async () => {
  await using redis = await startRedis();
  writeUsers(PASSWORD);
  const config = writeConfig("here.yaml", redis.url, `publicKey: "${publicPem}"`);
  await using here = await startCli(["--config", config]);
  const jwks = `jwksUri: "${here.url}/auth/.well-known/jwks.json"`;
  await using there = await startCli(["--config", writeConfig("there.yaml", redis.url, jwks)]);

  const shown: unknown[] = [];
  const given: string[] = [];
  const post = async (
    url: string,
    path: string,
    fields: Record<string, string>,
  ): Promise<number | Tokens> => {
    const reply = await fetch(`${url}/${path}`, { method: "POST", body: new URLSearchParams(fields) });
    if (reply.status === 200) {
      const tokens = (await reply.json()) as Tokens;
      given.push(tokens.access_token, tokens.refresh_token);
      return tokens;
    }
    shown.push(await reply.text());
    return reply.status;
  };
  const login = (url: string, password: string) => post(url, "auth/login", { username: "alice", password });
  const refresh = (url: string, token: string) => post(url, "auth/refresh", { refresh_token: token });
  const me = async (url: string, token: string): Promise<string | number> => {
    const reply = await fetch(`${url}/me`, { headers: { authorization: `Bearer ${token}` } });
    return reply.status === 200 ? reply.text() : reply.status;
  };

  expect(await login(here.url, OTHER)).toBe(400);
  const first = (await login(here.url, PASSWORD)) as Tokens;
  expect(await me(here.url, first.access_token)).toBe("Alice");
  expect(await me(there.url, first.access_token)).toBe("Alice");
  expect(await me(here.url, first.refresh_token)).toBe(401);

  const second = (await refresh(there.url, first.refresh_token)) as Tokens;
  expect(await me(here.url, second.access_token)).toBe("Alice");
  expect(await refresh(here.url, first.refresh_token)).toBe(400);
  expect(await refresh(there.url, second.refresh_token)).toBe(400);

  const raced = (await login(here.url, PASSWORD)) as Tokens;
  const urls = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? here.url : there.url));
  const results = await Promise.all(urls.map((url) => refresh(url, raced.refresh_token)));
  expect(results.filter((result) => typeof result === "object").length).toBeLessThanOrEqual(1);

  // In memory, for both threads.
  const local = (await post(here.url, "local/login", { username: "alice", password: PASSWORD })) as Tokens;
  const again = { refresh_token: local.refresh_token };
  const locals = await Promise.all(urls.map(() => post(here.url, "local/refresh", again)));
  expect(locals.filter((result) => typeof result === "object").length).toBeLessThanOrEqual(1);
  expect(locals.filter((result) => result === 400).length).toBeGreaterThanOrEqual(urls.length - 1);

  const left = (await login(there.url, PASSWORD)) as Tokens;
  expect(await post(here.url, "auth/logout", { refresh_token: left.refresh_token })).toBe(204);
  expect(await refresh(there.url, left.refresh_token)).toBe(400);

  const old = (await login(here.url, PASSWORD)) as Tokens;
  writeUsers(OTHER);
  await here.logged((line) => line["msg"] === "configuration activated" && line["generation"] === 2);
  expect(await refresh(here.url, old.refresh_token)).toBe(400);
  expect(await login(here.url, PASSWORD)).toBe(400);
  const last = (await login(here.url, OTHER)) as Tokens;

  await redis.kill();
  expect(await refresh(here.url, last.refresh_token)).toBe(503);
  expect(await login(here.url, OTHER)).toBe(503);
  expect(await post(here.url, "auth/logout", { refresh_token: last.refresh_token })).toBe(503);
  expect(await me(here.url, last.access_token)).toBe("Alice");

  for (const page of ["/metrics", "/admin/config", "/admin/stats"]) {
    shown.push(await (await fetch(here.adminUrl + page)).text());
  }
  shown.push(await runCli(["dump", "--effective", "--config", config]));
  await here.stop();
  await there.stop();
  const audited = here.lines.filter((line) => line["msg"] === "audit");
  const count = (event: string, outcome: string): number =>
    audited.filter((line) => line["event"] === event && line["outcome"] === outcome).length;
  expect(count("login", "allowed")).toBe(5);
  expect(count("login", "refused")).toBe(2);
  expect(count("reuse", "refused")).toBeGreaterThanOrEqual(1);
  expect(count("logout", "allowed")).toBe(1);
  expect(count("auth", "refused")).toBe(1);
  expect(audited.find((line) => line["event"] === "logout")).toMatchObject({
    consumer: "Alice",
    credential: "alice",
    route: "login",
    client: "127.0.0.1",
  });
  shown.push(here.lines, here.complaint, there.lines, there.complaint);
  const text = JSON.stringify(shown);
  expect(text).toContain("sluice_token_issuer_requests_total");
  for (const secret of [PASSWORD, OTHER, privatePem.split("\\n")[1]!, ...given]) {
    expect(text).not.toContain(secret);
  }
});

it("does what the example says", async () => {
  const upstream = await startUpstream();
  const config = parse(readFileSync(EXAMPLE, "utf8")) as Record<string, unknown>;
  config["listeners"] = [{ address: "127.0.0.1:0" }];
  config["upstreams"] = { orders: { targets: [upstream.url] } };
  const gateway = await createGateway(config, { baseDir: dirname(EXAMPLE), logTo: { write() {} } });
  try {
    const [url] = gateway.urls;
    const login = await fetch(`${url}/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ username: "alice", password: "correct horse battery staple" }),
    });
    const { access_token: token } = (await login.json()) as Tokens;
    const ask = async (authorization: string): Promise<number> =>
      (await fetch(`${url}/orders/1`, { headers: { authorization } })).status;
    expect(await ask(`Bearer ${token}`)).toBe(200);
    expect(await ask(`Bearer ${token.slice(0, -4)}AAAA`)).toBe(401);
    expect(upstream.seen.map(({ headers }) => headers["x-consumer-name"])).toEqual(["alice"]);
  } finally {
    await gateway.stop();
    await upstream.close();
  }
});
