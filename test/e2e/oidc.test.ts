/** Tokens of a real OpenID Provider through the real command line: keys that rotate, tokens taken back, outages. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { type RunningCli, startCli } from "../support/cli.ts";
import { CLIENT, type OidcServer, RESOURCE, startOidcServer } from "../support/oidc.ts";
import { encode, keyPair, makeToken } from "../support/tokens.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const env = { SECRET: CLIENT.secret };

let folder: TempFolder;
let upstream: TestUpstream;
let oidc: OidcServer;

beforeEach(async () => {
  folder = new TempFolder();
  upstream = await startUpstream();
  oidc = await startOidcServer();
});
afterEach(async () => {
  folder.remove();
  await upstream.close();
  await oidc.close();
});

const start = (stage: string): Promise<RunningCli> => {
  const config = `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
threads: 1
upstreams: { api: { targets: ["${upstream.url}"] } }
routes:
  - name: api
    match: { path: /* }
    pipeline:
${stage.replace(/^/gm, "      ")}
    upstream: api
`;
  return startCli(["--config", folder.write("sluice.yaml", config)], env);
};

const ask = async ({ url }: RunningCli, token?: string): Promise<number> => {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const reply = await fetch(url, { headers });
  await reply.arrayBuffer();
  return reply.status;
};

const getToken = async (form: Record<string, string> = {}): Promise<string> => {
  const answer = await oidc.token({ grant_type: "client_credentials", ...form });
  return answer["access_token"]!;
};

it("checks access tokens of RFC 9068 while keys rotate, are lost, and cannot be fetched", async () => {
  await using cli = await start(`- plugin: auth
  identityHeaders: true
  methods:
    - jwt:
        issuers:
          - issuer: ${oidc.url}
            jwksUri: ${oidc.url}/jwks
            audience: ${RESOURCE}
            algorithms: [RS256]
            typ: at+jwt
            requiredClaims: [exp, iat, jti, client_id]
            consumerClaim: client_id
            rolesClaim: scope
            cooldown: 500ms
            refresh: 1s`);
  const fetches = (): number => oidc.count("GET /jwks");
  const ofResource = { resource: RESOURCE, scope: "orders" };
  const first = await getToken(ofResource);
  expect(await ask(cli, first)).toBe(200);
  expect(upstream.seen.at(-1)!.headers).toMatchObject({
    "x-consumer-name": CLIENT.id,
    "x-consumer-roles": "orders",
  });
  expect(upstream.seen.at(-1)!.headers["authorization"]).toBeUndefined();
  expect(await ask(cli, await getToken())).toBe(401); // an opaque one

  // Another key, while traffic goes on: nobody who was let in is refused.
  const statuses = new Set<number>();
  let isOver = false;
  const traffic = (async () => {
    while (!isOver) statuses.add(await ask(cli, first));
  })();
  oidc.rotate();
  const second = await getToken(ofResource);
  await expect.poll(() => ask(cli, second)).toBe(200);
  isOver = true;
  await traffic;
  expect([...statuses]).toEqual([200]);

  // Keys that nobody has do not have the provider asked each time.
  const before = { fetches: fetches(), at: performance.now() };
  const [, claims = ""] = second.split(".");
  const forge = (kid: string): string =>
    makeToken(
      { alg: "RS256", kid, typ: "at+jwt" },
      Buffer.from(claims, "base64url"),
      keyPair("RS256").privateKey,
    );
  const forged = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(cli, forge(`forged ${i}`))));
  expect([...new Set(forged)]).toEqual([401]);
  const atMost = 2 + (performance.now() - before.at) / 500;
  expect(fetches() - before.fetches).toBeLessThan(atMost);

  // An outage: keys that are known go on to count, and others can be neither right nor wrong.
  oidc.state = "broken";
  await expect.poll(() => ask(cli, forge("unknown"))).toBe(503);
  expect(await ask(cli, second)).toBe(200);
  const [head = "", , signature = ""] = second.split(".");
  const changed = {
    ...(JSON.parse(Buffer.from(claims, "base64url").toString()) as object),
    client_id: "eve",
  };
  expect(await ask(cli, `${head}.${encode(changed)}.${signature}`)).toBe(401);

  // The first key is lost, and what it signed ends with it.
  oidc.state = "up";
  oidc.rotate(true);
  await expect.poll(() => ask(cli, first)).toBe(401);
  expect(await ask(cli, await getToken(ofResource))).toBe(200);
});

it("asks about opaque tokens, which end when they are taken back", async () => {
  await using cli = await start(`- plugin: auth
  identityHeaders: true
  methods:
    - introspection:
        issuer: ${oidc.url}
        clientId: ${CLIENT.id}
        clientSecret: "\${env:SECRET}"
        consumerClaim: client_id
        cacheFor: 500ms
        timeout: 2s`);
  const token = await getToken({ scope: "orders" });
  expect(token).not.toContain(".");
  const statuses = await Promise.all(Array.from({ length: 20 }, () => ask(cli, token)));
  expect([...new Set(statuses)]).toEqual([200]);
  expect(oidc.count("POST /token/introspection")).toBeLessThan(20);
  expect(upstream.seen.at(-1)!.headers).toMatchObject({ "x-consumer-name": CLIENT.id });
  expect(await ask(cli, `${token.slice(1)}x`)).toBe(401);

  await oidc.revoke(token);
  await expect.poll(() => ask(cli, token)).toBe(401);
  const other = await getToken();
  for (const state of ["slow", "broken"] as const) {
    oidc.state = state;
    expect(await ask(cli, other)).toBe(503);
  }
  oidc.state = "up";
  expect(await ask(cli, other)).toBe(200);
});

it("gives an upstream tokens that the provider takes, and another before one ends", async () => {
  oidc.accessTokenSeconds = 4;
  await using cli = await start(`- plugin: oauth2-client
  issuer: ${oidc.url}
  clientId: ${CLIENT.id}
  clientSecret: "\${env:SECRET}"
  scope: [orders]`);
  const isActive = async (): Promise<unknown> => {
    const [, token = ""] = upstream.seen.at(-1)!.headers["authorization"]!.split(" ");
    const answer = await fetch(`${oidc.url}/token/introspection`, {
      method: "POST",
      headers: { authorization: `Basic ${btoa(`${CLIENT.id}:${CLIENT.secret}`)}` },
      body: new URLSearchParams({ token }),
    });
    return answer.json();
  };
  expect(await ask(cli)).toBe(200);
  expect(await isActive()).toMatchObject({ active: true, client_id: CLIENT.id, scope: "orders" });
  const [first] = [upstream.seen[0]!.headers["authorization"]];
  const given = (): number => new Set(upstream.seen.map(({ headers }) => headers["authorization"])).size;
  await expect
    .poll(async () => [await ask(cli), given()], { timeout: 10_000, interval: 100 })
    .toEqual([200, 2]);
  expect(upstream.seen.at(-1)!.headers["authorization"]).not.toBe(first);
  expect(await isActive()).toMatchObject({ active: true });
  // The first one was still good when it was replaced.
  expect(oidc.count("POST /token")).toBe(2);
  oidc.state = "broken";
  expect(await ask(cli)).toBe(200);
});
