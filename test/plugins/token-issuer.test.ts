import { type KeyObject, createPublicKey } from "node:crypto";
import { createLocalJWKSet, jwtVerify } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { Consumers } from "../../core/consumers.ts";
import { type ConfigError, GatewayError, type Handler } from "../../core/plugin.ts";
import { problemReply } from "../../core/reply.ts";
import { tokenIssuer } from "../../plugins/token-issuer.ts";
import { bodyText, buildStage, exchange, FakeHost } from "../support/harness.ts";
import { hashOf } from "../support/passwords.ts";
import { jwkOf, keyPair, pemOf } from "../support/tokens.ts";

const privatePem = (key: KeyObject): string => String(key.export({ type: "pkcs8", format: "pem" }));
const { privateKey, publicKey } = keyPair("EdDSA", "issuer");
const OPTIONS = {
  issuer: "https://api.example/auth",
  audience: "https://api.example",
  key: privatePem(privateKey),
};
const PASSWORD = "café au lait";
const RIGHT = { username: "alice", password: PASSWORD };
const passwordHash = hashOf(PASSWORD.normalize("NFC"));

const usersOf = (more: object = {}, password: object = {}) =>
  new Consumers([
    {
      name: "Alice",
      roles: ["user", "admin"],
      tier: "premium",
      claims: { plan: "gold", sub: "Mallory", iss: "https://evil.example" },
      apiKeys: [],
      passwords: [{ id: "alice-1", username: "alice", passwordHash, ...password }],
      ...more,
    },
  ]);

let host: FakeHost;
let handler: Handler;

const build = (options: object = {}): Promise<Handler> =>
  buildStage(tokenIssuer as never, { ...OPTIONS, ...options }, undefined, host);

beforeEach(async () => {
  host = new FakeHost();
  host.consumers = usersOf();
  handler = await build();
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
}

async function send(path: string, request: object = {}, to = handler): Promise<Answer> {
  const x = exchange({ target: `/auth/${path}`, params: { "*": path }, ...request });
  let reply: Awaited<ReturnType<Handler>>;
  try {
    reply = await to(x);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    reply = problemReply(error, undefined, x.failureHeaders);
  }
  const text = await bodyText(reply);
  const { raw } = reply.headers;
  const headers = Object.fromEntries(raw.flatMap((name, i) => (i % 2 === 0 ? [[name, raw[i + 1]!]] : [])));
  return { status: reply.status, headers, body: text === "" ? {} : JSON.parse(text) };
}

const json = (value: unknown, more: object = {}): object => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: typeof value === "string" ? value : JSON.stringify(value),
  ...more,
});
const post = (path: string, value: unknown, to = handler): Promise<Answer> => send(path, json(value), to);
const form = (body: string): object => ({
  method: "POST",
  headers: { "content-type": "application/x-www-form-urlencoded" },
  body,
});
const NO_OBJECT = "the body must be a JSON object";
const refresh = (token: unknown, to = handler): Promise<Answer> =>
  post("refresh", { refresh_token: token }, to);
const from = (clientAddress: string) => ({ init: { clientAddress } });

describe("a login", () => {
  it("gives an access token that says who it is, and a refresh token", async () => {
    const { status, headers, body } = await post("login", RIGHT);
    expect(status).toBe(200);
    expect(headers).toMatchObject({ "cache-control": "no-store", "content-type": "application/json" });
    expect(body).toEqual({
      access_token: expect.any(String),
      token_type: "Bearer",
      expires_in: 300,
      refresh_token: expect.stringMatching(/^[\w-]{64}$/),
    });
    const { payload, protectedHeader } = await jwtVerify(body["access_token"] as string, publicKey, {
      currentDate: new Date(host.clock.now()),
      issuer: OPTIONS.issuer,
      audience: OPTIONS.audience,
      typ: "at+jwt",
    });
    expect(protectedHeader).toEqual({ alg: "EdDSA", typ: "at+jwt", kid: expect.any(String) });
    const iat = host.clock.now() / 1000;
    expect(payload).toEqual({
      iss: OPTIONS.issuer,
      aud: OPTIONS.audience,
      sub: "Alice",
      client_id: OPTIONS.issuer,
      roles: ["user", "admin"],
      tier: "premium",
      plan: "gold",
      iat,
      exp: iat + 300,
      jti: expect.any(String),
    });
  });

  it("may come as a form, and in any writing of the same letters", async () => {
    const form = new URLSearchParams({
      ...RIGHT,
      password: PASSWORD.normalize("NFD"),
      grant_type: "password",
    });
    const headers = { "content-type": "application/x-www-form-urlencoded; charset=UTF-8" };
    expect((await send("login", { method: "POST", headers, body: String(form) })).status).toBe(200);
  });

  it("fails in one way for a wrong name, a wrong password and one whose time is over", async () => {
    const wrong = [
      { username: "alice", password: "wrong" },
      { username: "bob", password: PASSWORD },
      { username: "alice", password: `${PASSWORD}${"x".repeat(2000)}` },
      { username: "alice\u0000", password: PASSWORD },
      { username: "__proto__", password: PASSWORD },
    ];
    const answers = [];
    for (const each of wrong) answers.push(await post("login", each));
    host.consumers = usersOf({}, { expiresAt: host.clock.now() });
    answers.push(await post("login", RIGHT, await build()));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(answers[0]).toMatchObject({
      status: 400,
      headers: { "cache-control": "no-store", "content-type": "application/problem+json" },
      body: { code: "GRANT_INVALID", error: "invalid_grant" },
    });
  });

  it.each([
    ["no body", { method: "POST", headers: { "content-type": "application/json" } }, 400, NO_OBJECT],
    ["no JSON", json("{"), 400, NO_OBJECT],
    ["a list", json([]), 400, NO_OBJECT],
    ["null", json("null"), 400, NO_OBJECT],
    ["a number for a name", json({ ...RIGHT, username: 1 }), 400, "username must be a text"],
    ["names in a list", json({ ...RIGHT, username: ["alice"] }), 400, "username must be there once"],
    ["an empty password", json({ ...RIGHT, password: "" }), 400, "password is missing"],
    ["no password", json({ username: "alice" }), 400, "password is missing"],
    [
      "a name that objects have",
      json('{"__proto__":{"username":"alice","password":"x"}}'),
      400,
      "username is missing",
    ],
    ["a name twice", form("username=alice&username=bob&password=x"), 400, "username must be there once"],
    ["a form without a name", form("password=x"), 400, "username is missing"],
    ["another type", { method: "POST", headers: { "content-type": "text/plain" }, body: "{}" }, 415],
    [
      "a type that objects have",
      { method: "POST", headers: { "content-type": "constructor" }, body: "{}" },
      415,
    ],
    ["no type", { method: "POST", body: JSON.stringify(RIGHT) }, 415],
    ["a large body", json({ ...RIGHT, more: "x".repeat(9000) }), 413],
    ["GET", { method: "GET" }, 405],
  ])("is refused with %s", async (_, request, status, error_description?: string) => {
    const answer = await send("login", request);
    expect(answer.status).toBe(status);
    if (status === 400) expect(answer.body).toMatchObject({ error: "invalid_request", error_description });
    expect(answer.headers["cache-control"]).toBe("no-store");
  });
});

it("does the same work for a name that nobody has, and waits for no more than it can do", async () => {
  const checked: unknown[][] = [];
  let answer: string = "invalid";
  host.kept.set("auth passwords", {
    identify(...args: unknown[]) {
      checked.push(args.slice(0, 4));
      return answer;
    },
  });
  const to = await build({ throttle: { user: "2/1m", ip: "3/1m" } });
  await post("login", { username: "bob", password: "x" }, to);
  expect(checked).toEqual([["bob", "x", undefined, expect.objectContaining({ ln: 14, r: 8, p: 1 })]]);
  answer = "unavailable";
  const refused = await post("login", RIGHT, to);
  expect(refused).toMatchObject({
    status: 503,
    headers: { "retry-after": "5" },
    body: { code: "AUTH_UNAVAILABLE" },
  });
  for (let i = 0; i < 3; i++) expect(await post("login", RIGHT, to)).toMatchObject({ status: 503 });
});

describe("too many tries to log in", () => {
  const tight = { throttle: { user: "2/1m", ip: "4/1m" } };
  const login = (username: string, password: string, address: string, to: Handler) =>
    send("login", json({ username, password }, from(address)), to);

  it("for one name are refused from anywhere, also with the right password, until time has gone by", async () => {
    const to = await build(tight);
    await login("alice", "1", "192.0.2.1", to);
    await login("alice", "2", "192.0.2.2", to);
    const refused = await login("alice", PASSWORD, "192.0.2.3", to);
    expect(refused).toMatchObject({
      status: 429,
      headers: { "retry-after": expect.stringMatching(/^\d+$/) },
    });
    expect((await login("bob", "1", "192.0.2.3", to)).status).toBe(400);
    host.clock.advance(120_000);
    expect((await login("alice", PASSWORD, "192.0.2.3", to)).status).toBe(200);
  });

  it("from one address are refused, whatever the names are", async () => {
    const to = await build(tight);
    for (const name of ["a", "b", "c", "d"])
      expect((await login(name, "1", "192.0.2.1", to)).status).toBe(400);
    expect((await login("e", "1", "192.0.2.1", to)).status).toBe(429);
    expect((await login("e", "1", "192.0.2.2", to)).status).toBe(400);
  });

  it("are not those that succeed", async () => {
    const to = await build(tight);
    for (let i = 0; i < 10; i++) expect((await login("alice", PASSWORD, "192.0.2.1", to)).status).toBe(200);
  });

  it("are told apart from others by networks of IPv6, and counted over routes", async () => {
    const to = await build(tight);
    for (const i of [1, 2, 3, 4]) await login(`u${i}`, "1", `2001:db8::${i}`, to);
    host.route = "other";
    expect((await login("x", "1", "2001:db8::99", await build(tight))).status).toBe(429);
  });
});

describe("a refresh token", () => {
  const begin = async () => (await post("login", RIGHT)).body["refresh_token"];

  it("gives new tokens with what the user may do now", async () => {
    const token = await begin();
    host.consumers = usersOf({ roles: ["user"] });
    const { status, body } = await refresh(token, await build());
    expect(status).toBe(200);
    const { payload } = await jwtVerify(body["access_token"] as string, publicKey, {
      currentDate: new Date(host.clock.now()),
    });
    expect(payload["roles"]).toEqual(["user"]);
    expect(body["refresh_token"]).not.toBe(token);
  });

  it("gives the same next one for ten seconds, and ends all when it comes later", async () => {
    const token = await begin();
    const second = (await refresh(token)).body["refresh_token"];
    host.clock.advance(9999);
    expect((await refresh(token)).body["refresh_token"]).toBe(second);
    host.clock.advance(1);
    expect(await refresh(token)).toMatchObject({ status: 400, body: { error: "invalid_grant" } });
    expect((await refresh(second)).status).toBe(400);
    expect(host.audit.events.slice(-2)).toEqual([
      { event: "reuse", outcome: "refused", method: "refreshToken", consumer: "Alice" },
      { event: "refresh", outcome: "refused", reason: "unknown", method: "refreshToken" },
    ]);
  });

  it.each([
    ["a new password", () => usersOf({}, { passwordHash: hashOf(PASSWORD, "other salt") })],
    ["a user who is gone", () => new Consumers([])],
    ["a password whose time is over", () => usersOf({}, { expiresAt: host.clock.now() })],
  ])("ends with %s", async (_, users) => {
    const token = await begin();
    host.consumers = users();
    const to = await build();
    expect(await refresh(token, to)).toMatchObject({ status: 400, body: { error: "invalid_grant" } });
    expect(host.audit.events.at(-1)).toMatchObject({
      event: "refresh",
      outcome: "refused",
      reason: "outdated",
    });
  });

  it("ends when nobody used it for long, and some time after the login in any case", async () => {
    const to = await build({ idleTtl: "1h", refreshTtl: "2h" });
    const first = (await post("login", RIGHT, to)).body["refresh_token"];
    host.clock.advance(3_600_000);
    expect((await refresh(first, to)).status).toBe(400);
    let token = (await post("login", RIGHT, to)).body["refresh_token"];
    for (let i = 0; i < 3; i++) {
      host.clock.advance(2_399_000);
      token = (await refresh(token, to)).body["refresh_token"];
    }
    expect(token).toBeDefined();
    host.clock.advance(3000);
    expect((await refresh(token, to)).status).toBe(400);
  });

  it("is of no use at an issuer with another audience", async () => {
    const token = await begin();
    expect((await refresh(token, await build({ audience: "https://other.example" }))).status).toBe(400);
    expect((await refresh(token)).status).toBe(200);
  });
});

describe("a logout", () => {
  it("ends the refresh tokens of a login, and says nothing of what there was", async () => {
    const { body } = await post("login", RIGHT);
    const token = body["refresh_token"];
    for (let i = 0; i < 2; i++) {
      const { status, headers } = await post("logout", { refresh_token: token });
      expect([status, headers["cache-control"]]).toEqual([204, "no-store"]);
    }
    expect((await post("logout", { refresh_token: "made up" })).status).toBe(204);
    expect((await refresh(token)).status).toBe(400);
  });
});

describe("the published keys", () => {
  it("check what is signed now and what was signed before", async () => {
    const token = (await post("login", RIGHT)).body["access_token"] as string;
    const next = keyPair("EdDSA", "next");
    const to = await build({
      key: JSON.stringify(next.privateKey.export({ format: "jwk" })),
      previousKeys: [pemOf(publicKey)],
    });
    const { body, headers } = await send(".well-known/jwks.json", {}, to);
    expect(headers).toMatchObject({
      "content-type": "application/jwk-set+json",
      "cache-control": "public, max-age=300",
    });
    const keys = createLocalJWKSet(body as never);
    const newer = (await post("login", RIGHT, to)).body["access_token"] as string;
    for (const each of [token, newer]) {
      await expect(jwtVerify(each, keys, { currentDate: new Date(host.clock.now()) })).resolves.toBeDefined();
    }
  });

  it("have nothing private in them, whichever half they were given by", async () => {
    const others = [keyPair("EdDSA", "a"), keyPair("EdDSA", "b")] as const;
    const previousKeys = [
      privatePem(others[0].privateKey),
      JSON.stringify(others[1].privateKey.export({ format: "jwk" })),
    ];
    const { body } = await send(".well-known/jwks.json", {}, await build({ previousKeys }));
    const keys = body["keys"] as object[];
    expect(keys.map((key) => Object.keys(key).sort())).toEqual(
      Array.from({ length: 3 }, () => ["alg", "crv", "kid", "kty", "use", "x"]),
    );
    expect(keys[0]).toMatchObject(jwkOf(createPublicKey(OPTIONS.key)));
  });

  it("are read only", async () => {
    const refused = await post(".well-known/jwks.json", {});
    expect(refused).toMatchObject({ status: 405, headers: { allow: "GET, HEAD" } });
  });
});

it.each(["", "logins", "login/", "constructor", "../login", ".well-known"])(
  "has nothing at %j",
  async (path) => {
    expect((await post(path, RIGHT)).body).toMatchObject({ code: "ROUTE_NOT_FOUND" });
  },
);

it("tells operators what happened, and nobody what was sent", async () => {
  const { body } = await post("login", RIGHT);
  await post("login", { username: "alice", password: "wrong-secret" });
  await post("login", { username: "a-password-in-the-wrong-field", password: "x" });
  await refresh(body["refresh_token"]);
  await post("logout", { refresh_token: body["refresh_token"] });
  expect(host.audit.events).toEqual([
    { event: "login", outcome: "allowed", method: "password", consumer: "Alice" },
    { event: "login", outcome: "refused", reason: "invalid", method: "password", consumer: "Alice" },
    { event: "login", outcome: "refused", reason: "invalid", method: "password" },
    { event: "refresh", outcome: "allowed", method: "refreshToken", consumer: "Alice" },
    { event: "logout", outcome: "allowed", consumer: "Alice" },
  ]);
  const labels = (kind: string, outcome: string) =>
    JSON.stringify({ route: "test", stage: "stage", kind, outcome });
  expect(host.collected("sluice_token_issuer_requests_total")).toEqual({
    [labels("login", "allowed")]: 1,
    [labels("login", "refused")]: 2,
    [labels("refresh", "allowed")]: 1,
    [labels("logout", "allowed")]: 1,
  });
  expect(host.log.lines).toEqual([]);
});

it.each([
  ["/key", { key: "secret" }],
  ["/key", { key: pemOf(publicKey) }],
  ["/key", { key: privatePem(keyPair("ES256").privateKey) }],
  ["/key", { key: '{"kty":"OKP"' }],
  ["/previousKeys/1", { previousKeys: [pemOf(keyPair("EdDSA", "a").publicKey), "secret"] }],
  ["/previousKeys/0", { previousKeys: [pemOf(publicKey)] }],
  ["/accessTtl", { accessTtl: "2d" }],
  ["/idleTtl", { idleTtl: "1s" }],
  ["/refreshTtl", { refreshTtl: "400d" }],
  ["/grace", { grace: "1h" }],
  ["/throttle/user", { throttle: { user: "10/2d" } }],
  ["/throttle/ip", { throttle: { ip: "2000000/1m" } }],
])("is refused with a problem at %s: %j", async (pointer, options) => {
  const error = await build(options).catch((thrown: ConfigError) => thrown);
  const problems = (error as ConfigError).problems;
  expect(problems).toEqual([expect.objectContaining({ pointer })]);
  expect(JSON.stringify(problems)).not.toMatch(/secret|OKP|BEGIN/);
});
