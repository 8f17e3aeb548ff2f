/** Tokens through the real command line: keys that are down, come, rotate and go, and that no secret is ever shown. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { TempFolder } from "../core/config/temp-folder.ts";
import { startCli } from "../support/cli.ts";
import { stopAndShow } from "../support/shown.ts";
import { encode, jwkOf, keyPair, makeToken } from "../support/tokens.ts";
import { startUpstream, type TestUpstream } from "../support/upstream.ts";

const SECRET = "planted-secret-of-the-second-issuer";
const exp = Math.floor(Date.now() / 1000) + 600;
const FIRST = { iss: "https://first.example", aud: "orders", sub: "alice", roles: ["user"], exp, jti: "one" };
const SECOND = { iss: "https://second.example", aud: "orders", sub: "Zoë\r\n", exp };

const ofKey = (kid: string, claims: object = FIRST): string =>
  makeToken({ alg: "ES256", kid }, claims, keyPair("ES256", kid).privateKey);
const setOf = (...kids: string[]): string =>
  JSON.stringify({ keys: kids.map((kid) => jwkOf(keyPair("ES256", kid).publicKey, { kid })) });

let folder: TempFolder;
/** What the issuer publishes; undefined while it is down. */
let published: string | undefined;
let issuer: TestUpstream;
let upstream: TestUpstream;

beforeEach(async () => {
  folder = new TempFolder();
  published = undefined;
  upstream = await startUpstream();
  issuer = await startUpstream((_, response) => {
    response.statusCode = published === undefined ? 500 : 200;
    response.end(published);
  });
});
afterEach(async () => {
  folder.remove();
  await issuer.close();
  await upstream.close();
});

const writeConfig = (): string =>
  folder.write(
    "sluice.yaml",
    `apiVersion: sluice/v1
listeners: [{ address: 127.0.0.1:0 }]
admin: { address: 127.0.0.1:0 }
threads: 1
log: { level: debug }
upstreams: { api: { targets: ["${upstream.url}"] } }
routes:
  - name: api
    match: { path: /* }
    pipeline:
      - plugin: auth
        methods:
          - jwt:
              issuers:
                - issuer: ${FIRST.iss}
                  prefix: ""
                  audience: orders
                  algorithms: [ES256]
                  jwksUri: ${issuer.url}/jwks
                  cooldown: 0ms
                - issuer: ${SECOND.iss}
                  prefix: "second:"
                  audience: orders
                  algorithms: [HS256]
                  secret: "\${env:SECOND_SECRET}"
        identityHeaders: true
    upstream: api
`,
  );

it("lets in whom issuers vouch for, through outages and new keys, and shows no secret to anybody", async () => {
  const config = writeConfig();
  const env = { SECOND_SECRET: SECRET };
  await using cli = await startCli(["--config", config], env);
  const shown: unknown[] = [];
  const sent: string[] = [];
  const ask = async (token: string): Promise<number> => {
    sent.push(token);
    const reply = await fetch(cli.url, { headers: { authorization: `Bearer ${token}` } });
    const headers = [...reply.headers].join("\n");
    shown.push([headers, reply.status === 200 ? "" : await reply.text()]);
    if (reply.status === 200) await reply.arrayBuffer();
    if (reply.status === 401)
      expect(headers).toContain('www-authenticate,Bearer realm="sluice", error="invalid_token"');
    if (reply.status === 503) expect(headers).toContain("retry-after,");
    return reply.status;
  };

  // The issuer is down. Nothing is let in, and the other issuer's tokens do not mind.
  expect(await ask(ofKey("1"))).toBe(503);
  expect(await ask(makeToken({ alg: "HS256" }, { ...SECOND, sub: "bob" }, SECRET))).toBe(200);
  expect(upstream.seen.at(-1)?.headers).toMatchObject({ "x-consumer-name": "second:bob" });
  expect(upstream.seen.at(-1)?.headers["authorization"]).toBeUndefined();
  // It comes.
  published = setOf("1");
  const first = ofKey("1");
  expect(await ask(first)).toBe(200);
  expect(upstream.seen.at(-1)?.headers).toMatchObject({
    "x-consumer-name": "alice",
    "x-consumer-roles": "user",
  });
  expect(await ask(ofKey("2"))).toBe(401);
  // A second key comes, and the first goes.
  published = setOf("1", "2");
  expect(await ask(ofKey("2"))).toBe(200);
  expect(await ask(first)).toBe(200);
  published = setOf("2", "3");
  expect(await ask(ofKey("3"))).toBe(200);
  expect(await ask(first)).toBe(401);
  // It is down again, or worse: the keys that are known go on to count.
  for (const wrong of [
    undefined,
    "",
    "<html>",
    "{}",
    '{"keys":[]}',
    "x".repeat(1_000_000),
    "[".repeat(200_000),
  ]) {
    published = wrong;
    expect(await ask(ofKey("4"))).toBe(503);
    expect(await ask(ofKey("3", { ...FIRST, jti: encode(String(wrong?.length)) }))).toBe(200);
  }
  published = setOf("4");
  expect(await ask(ofKey("4"))).toBe(200);
  // What is wrong stays wrong.
  expect(await ask(`${encode({ alg: "none" })}.${encode(FIRST)}.`)).toBe(401);
  expect(await ask(ofKey("4", { ...FIRST, aud: "users" }))).toBe(401);
  expect(await ask(makeToken({ alg: "HS256" }, SECOND, SECRET))).toBe(401);
  expect(upstream.seen).toHaveLength(13);

  expect(cli.lines.map((line) => line["consumer"])).toContain("alice");
  shown.push(...(await stopAndShow(cli, config, env)));
  const text = JSON.stringify(shown);
  expect(text).toContain('sluice_auth_jwks_fetches_total{host=\\"');
  expect(text).not.toContain(SECRET);
  for (const token of sent)
    for (const part of token.split(".").slice(1)) {
      if (part !== "") expect(text).not.toContain(part);
    }
});
