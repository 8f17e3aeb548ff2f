import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { beforeEach, describe, expect, it } from "vitest";
import { Consumers } from "../../../core/consumers.ts";
import {
  type ConfigError,
  type Exchange,
  GatewayError,
  type Handler,
  textReply,
} from "../../../core/plugin.ts";
import { auth } from "../../../plugins/auth.ts";
import { createAuthority } from "../../support/certificates.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../../support/harness.ts";
import { jwkOf, keyPair, makeToken, pemOf } from "../../support/tokens.ts";

const SECRET = "a secret of more than sixty-four bytes, which is what the longest one needs";
const ISSUER = "https://login.example.com/";
const ES = keyPair("ES256");

let host: FakeHost;
let seen: Exchange | undefined;

beforeEach(() => {
  host = new FakeHost();
  seen = undefined;
});

const seconds = (): number => host.clock.now() / 1000;
const claims = (more: object = {}): object => ({
  iss: ISSUER,
  aud: "orders",
  sub: "alice",
  exp: seconds() + 60,
  ...more,
});
const issuer = (more: object = {}): object => ({
  issuer: ISSUER,
  audience: "orders",
  algorithms: ["ES256"],
  publicKey: pemOf(ES.publicKey),
  ...more,
});
const by = (options: object = {}, more: object = {}): object => ({
  methods: [{ jwt: { issuers: [issuer(options)], ...more } }],
});
const token = (more: object = {}, header: object = {}): string =>
  makeToken({ alg: "ES256", ...header }, claims(more), ES.privateKey);
const bearer = (value: string): RequestInit => ({ headers: { authorization: `Bearer ${value}` } });

const build = (options: object): Promise<Handler> =>
  buildStage(
    auth,
    options as never,
    (x) => {
      seen = x;
      return textReply(200, "in");
    },
    host,
  );

async function send(handler: Handler, request: RequestInit): Promise<string> {
  try {
    const reply = await handler(exchange(request));
    return `${reply.status} ${seen?.consumer?.name ?? "nobody"}`;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return `${error.status} ${error.code}`;
  }
}

const ask = async (options: object, request: RequestInit): Promise<string> =>
  send(await build(options), request);
const NO = "401 UNAUTHENTICATED";

describe("a token", () => {
  it.each(["HS256", "HS384", "HS512"])("signed by %s says who asks", async (alg) => {
    const options = by({ algorithms: [alg], publicKey: undefined, secret: SECRET });
    expect(await ask(options, bearer(makeToken({ alg }, claims(), SECRET)))).toBe("200 alice");
    expect(await ask(options, bearer(makeToken({ alg }, claims(), `${SECRET}!`)))).toBe(NO);
  });

  it.each(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"])(
    "signed by %s says who asks",
    async (alg) => {
      const { publicKey, privateKey } = keyPair(alg);
      const right = bearer(makeToken({ alg, kid: "1" }, claims(), privateKey));
      const wrong = bearer(makeToken({ alg, kid: "1" }, claims(), keyPair(alg, "other").privateKey));
      const set = {
        keys: [jwkOf(publicKey, { kid: "1" }), jwkOf(keyPair(alg, "third").publicKey, { kid: "2" })],
      };
      for (const keys of [{ publicKey: pemOf(publicKey) }, { publicKey: undefined, jwks: set }]) {
        const options = by({ algorithms: [alg], ...keys });
        expect(await ask(options, right)).toBe("200 alice");
        expect(await ask(options, wrong)).toBe(NO);
      }
    },
  );

  it("may be checked with the key of a certificate", async () => {
    const { cert, key } = await createAuthority();
    const options = by({ publicKey: cert });
    expect(await ask(options, bearer(makeToken({ alg: "ES256" }, claims(), createPrivateKey(key))))).toBe(
      "200 alice",
    );
    expect(await ask(options, bearer(token()))).toBe(NO);
  });

  it("is taken from the request, or kept if asked", async () => {
    await ask(by(), bearer(token()));
    expect(seen?.headers.raw).toEqual([]);
    const right = bearer(token());
    await ask(by({}, { keep: true }), right);
    expect(seen?.headers.raw).toEqual(Object.entries(right.headers!).flat());
  });

  it("can be in another header, in the query or in a cookie", async () => {
    const right = token();
    expect(await ask(by({}, { header: "x-token" }), { headers: { "x-token": right } })).toBe("200 alice");
    expect(await ask(by({}, { query: "t" }), { target: `/?a=1&t=${right}` })).toBe("200 alice");
    expect(seen?.search).toBe("?a=1");
    expect(await ask(by({}, { cookie: "t" }), { headers: { cookie: `a=1; t=${right}` } })).toBe("200 alice");
    expect(seen?.headers.get("cookie")).toBe("a=1");
    expect(await ask(by({}, { cookie: "t" }), bearer(right))).toBe(NO);
  });

  it("is that of the scheme Bearer, in any case, and nothing of other schemes", async () => {
    const methods = [{ jwt: { issuers: [issuer()] } }, "apiKey"];
    const headers = { authorization: `bEARER ${token()}` };
    expect(await ask({ methods }, { headers })).toBe("200 alice");
    const basic = { authorization: "Basic YTpi", "x-other": "1" };
    expect(await ask({ methods, optional: true }, { headers: basic })).toBe("200 nobody");
    expect(seen?.headers.get("authorization")).toBe("Basic YTpi");
  });
});

describe("a challenge", () => {
  const challenge = async (request: RequestInit): Promise<readonly string[]> => {
    const handler = await build({ methods: [{ jwt: { issuers: [issuer()] } }, "apiKey"] });
    const error = await Promise.resolve()
      .then(() => handler(exchange(request)))
      .catch((thrown: unknown) => thrown);
    return (error as GatewayError).headers;
  };

  it("names an error when a token was sent, whatever is wrong with it", async () => {
    const none = ["www-authenticate", 'Bearer realm="sluice"', "www-authenticate", "ApiKey"];
    expect(await challenge({})).toEqual(none);
    expect(await challenge({ headers: { "x-api-key": "wrong" } })).toEqual(none);
    for (const wrong of ["", "x", token({ exp: 1 }), token({ aud: "x" }), `${token()}A`]) {
      expect(await challenge(bearer(wrong))).toEqual(
        none.with(1, 'Bearer realm="sluice", error="invalid_token"'),
      );
    }
  });
});

describe("the consumer", () => {
  it("is made of the claims", async () => {
    const jti = "token-17";
    await ask(
      by({ tierClaim: "plan" }),
      bearer(token({ roles: ["user", 7, "", "beta"], plan: "gold", jti })),
    );
    expect(seen?.consumer).toEqual({
      name: "alice",
      roles: ["user", "beta"],
      tier: "gold",
      credential: jti,
      claims: claims({ roles: ["user", 7, "", "beta"], plan: "gold", jti }),
    });
    await ask(by(), bearer(token({ roles: "user  beta" })));
    expect(seen?.consumer).toMatchObject({
      roles: ["user", "beta"],
      credential: expect.stringMatching(/^.{12}$/),
    });
  });

  it("comes from the claims that are named, also from those within others", async () => {
    const options = by({
      consumerClaim: "https://example.com/name",
      rolesClaim: "/realm_access/roles",
      prefix: "login:",
    });
    const nested = { "https://example.com/name": "bob", realm_access: { roles: ["user"] } };
    expect(await ask(options, bearer(token(nested)))).toBe("200 login:bob");
    expect(seen?.consumer?.roles).toEqual(["user"]);
  });

  it.each([
    [undefined],
    [""],
    [17],
    [["alice"]],
    [null],
    ["a\r\nx-admin: 1"],
    ["a\0b"],
    ["\ud800"],
    ["a".repeat(257)],
  ])("cannot be called %j", async (sub) => {
    expect(await ask(by(), bearer(token({ sub })))).toBe(NO);
  });

  it("is refused with claims that are too deep", async () => {
    const nest = (depth: number): unknown => (depth === 0 ? 1 : [nest(depth - 1)]);
    expect(await ask(by(), bearer(token({ x: nest(31) })))).toBe("200 alice");
    expect(await ask(by(), bearer(token({ x: nest(32) })))).toBe(NO);
  });

  it("is told to the upstream so that no name can be taken for another", async () => {
    const options = { ...by(), identityHeaders: true };
    await ask(options, bearer(token({ sub: "Zoë, 50%", roles: ["a,admin", "Ärzte", "b"] })));
    expect(seen?.headers.raw).toEqual([
      "x-consumer-name",
      "Zo%C3%AB%2C%2050%25",
      "x-consumer-roles",
      "a%2Cadmin,%C3%84rzte,b",
    ]);
    await ask(options, bearer(token({ roles: ["\ud800"] })));
    expect(seen?.headers.get("x-consumer-roles")).toBe("%EF%BF%BD");
  });

  it("must be one of the configuration where only those are let in, and has what it has there", async () => {
    const options = by({ knownConsumers: true });
    const right = bearer(token({ roles: ["admin"], sub: "alice", a: 2 }));
    host.consumers = new Consumers([
      { name: "alice", roles: ["user"], tier: "basic", claims: { a: 1 }, apiKeys: [] },
    ]);
    expect(await ask(options, right)).toBe("200 alice");
    expect(seen?.consumer).toMatchObject({ roles: ["user"], tier: "basic", claims: { a: 1, sub: "alice" } });
    expect(await ask(options, bearer(token({ sub: "bob" })))).toBe(NO);
    host.consumers = new Consumers([]); // the token is remembered, who it is of is not
    expect(await ask(options, right)).toBe(NO);
  });
});

describe("a token that was right", () => {
  it("is looked at again when its time is over", async () => {
    const handler = await build(by());
    const request = bearer(token({ exp: seconds() + 10 }));
    expect(await send(handler, request)).toBe("200 alice");
    host.clock.advance(39_999);
    expect(await send(handler, request)).toBe("200 alice");
    host.clock.advance(1);
    expect(await send(handler, request)).toBe(NO);
  });

  it("does not become older than it may", async () => {
    const handler = await build(by({ maxAge: "1m", clockSkew: "0ms" }));
    const request = bearer(token({ iat: seconds(), exp: seconds() + 3600 }));
    expect(await send(handler, request)).toBe("200 alice");
    host.clock.advance(61_000);
    expect(await send(handler, request)).toBe(NO);
  });

  it("is answered at once the second time, also after a reload, but not by other issuers", async () => {
    const request = bearer(token());
    const handler = await build(by());
    expect(handler(exchange(request))).toBeInstanceOf(Promise);
    await send(handler, request);
    expect(handler(exchange(request))).not.toBeInstanceOf(Promise);
    expect((await build(by()))(exchange(request))).not.toBeInstanceOf(Promise);
    const { publicKey } = keyPair("ES256", "new");
    expect(await ask(by({ publicKey: pemOf(publicKey) }), request)).toBe(NO);
    expect(await ask(by({ audience: "users" }), request)).toBe(NO);
  });

  it("is looked at once, however many ask at the same time", async () => {
    const handler = await build(by());
    const request = bearer(token());
    const replies = await Promise.all(Array.from({ length: 20 }, () => send(handler, request)));
    expect(new Set(replies)).toEqual(new Set(["200 alice"]));
  });
});

it("remembers tokens that are wrong for good, and looks again at those that are early", async () => {
  const handler = await build(by());
  const wrong = bearer(`${token().slice(0, -4)}AAAA`);
  const early = bearer(token({ nbf: seconds() + 91, exp: seconds() + 600 }));
  expect(await send(handler, wrong)).toBe(NO);
  host.clock.advance(59_999);
  expect(() => handler(exchange(wrong))).toThrow(GatewayError);
  host.clock.advance(1);
  await expect(handler(exchange(wrong))).rejects.toThrow(GatewayError);
  expect(await send(handler, early)).toBe(NO);
  host.clock.advance(1000);
  expect(await send(handler, early)).toBe("200 alice");
});

it("looks at a bounded number of tokens at once, and says that it cannot tell for the others", async () => {
  const handler = await build(by());
  const requests = Array.from({ length: 1001 }, (_, i) => bearer(token({ jti: String(i) })));
  const replies = await Promise.all(requests.map((request) => send(handler, request)));
  expect(replies.filter((reply) => reply === "200 alice")).toHaveLength(1000);
  expect(replies.at(-1)).toBe("503 AUTH_UNAVAILABLE");
});

it("trusts each of several issuers with its own keys", async () => {
  const other = keyPair("ES256", "other");
  const issuers = [
    issuer({ prefix: "a:" }),
    issuer({ issuer: "https://b.example.com", prefix: "b:", publicKey: pemOf(other.publicKey) }),
  ];
  const options = { methods: [{ jwt: { issuers } }] };
  const ofOther = claims({ iss: "https://b.example.com" });
  expect(await ask(options, bearer(token()))).toBe("200 a:alice");
  expect(await ask(options, bearer(makeToken({ alg: "ES256" }, ofOther, other.privateKey)))).toBe(
    "200 b:alice",
  );
  expect(await ask(options, bearer(makeToken({ alg: "ES256" }, ofOther, ES.privateKey)))).toBe(NO);
  expect(await ask(options, bearer(makeToken({ alg: "ES256" }, claims(), other.privateKey)))).toBe(NO);
});

it("counts what it found", async () => {
  const handler = await build(by());
  await send(handler, bearer(token()));
  await send(handler, bearer("wrong"));
  const labels = (outcome: string): string =>
    JSON.stringify({ route: "test", stage: "stage", method: "jwt", outcome });
  expect(host.collected("sluice_auth_requests_total")).toEqual({
    [labels("known")]: 1,
    [labels("invalid")]: 1,
  });
});

const weak = pemOf(generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey);
const none = { publicKey: undefined };
const ownKey = String(ES.privateKey.export({ type: "pkcs8", format: "pem" }));

it.each([
  ["no key", none, ""],
  ["two keys", { secret: SECRET }, ""],
  ["no audience", { audience: undefined }, ""],
  ["two audiences", { anyAudience: true }, ""],
  ["HS with a public key", { algorithms: ["ES256", "HS256"] }, "/algorithms/1"],
  ["ES with a secret", { ...none, secret: SECRET }, "/algorithms/0"],
  ["RS with an EC key", { algorithms: ["ES256", "RS256"] }, "/algorithms/1"],
  ["ES384 with a key of P-256", { algorithms: ["ES384"] }, "/algorithms/0"],
  [
    "ES384 with a set without one",
    { ...none, algorithms: ["ES384"], jwks: { keys: [jwkOf(ES.publicKey)] } },
    "/algorithms/0",
  ],
  ["a short secret", { ...none, algorithms: ["HS256"], secret: "x".repeat(31) }, "/secret"],
  [
    "a secret that is short for HS512",
    { ...none, algorithms: ["HS256", "HS512"], secret: "x".repeat(63) },
    "/secret",
  ],
  [
    "what is not base64",
    { ...none, algorithms: ["HS256"], secret: SECRET, secretEncoding: "base64" },
    "/secret",
  ],
  ["a private key", { publicKey: ownKey }, "/publicKey"],
  ["a private key in a set", { ...none, jwks: { keys: [jwkOf(ES.privateKey)] } }, "/jwks"],
  ["a key that is none", { publicKey: "x" }, "/publicKey"],
  ["a weak key", { publicKey: weak, algorithms: ["RS256"] }, "/publicKey"],
  ["an empty set", { ...none, jwks: { keys: [] } }, "/jwks"],
  ["a set of secrets", { ...none, jwks: { keys: [{ kty: "oct", k: "c2VjcmV0" }] } }, "/jwks"],
  ["what is no set", { ...none, jwks: { kty: "EC" } }, "/jwks"],
  ["http:", { ...none, jwksUri: "http://login.example.com/jwks" }, "/jwksUri"],
  ["a password", { ...none, jwksUri: "https://user:planted@login.example.com/jwks" }, "/jwksUri"],
  ["no URL", { ...none, jwksUri: "file:///etc/passwd" }, "/jwksUri"],
  ["keys that count shorter than they are refreshed", { staleFor: "1m" }, "/staleFor"],
])("refuses %s", async (_, options, at) => {
  const error = await build(by(options)).catch((thrown: unknown) => thrown);
  expect((error as ConfigError).problems).toMatchObject([
    { code: "CONFIG_VALUE", pointer: `/methods/0/jwt/issuers/0${at}` },
  ]);
  expect((error as Error).message).not.toMatch(/planted|secret of/);
});

it("refuses the same issuer twice, and several without a prefix", async () => {
  const two = (...issuers: object[]): Promise<unknown> =>
    build({ methods: [{ jwt: { issuers } }] }).catch((thrown: unknown) => thrown);
  expect(await two(issuer({ prefix: "a" }), issuer({ prefix: "b" }))).toMatchObject({
    problems: [{ code: "CONFIG_DUPLICATE_NAME", pointer: "/methods/0/jwt/issuers/1/issuer" }],
  });
  expect(await two(issuer({ prefix: "" }), issuer({ issuer: "b" }))).toMatchObject({
    problems: [{ code: "CONFIG_VALUE", pointer: "/methods/0/jwt/issuers/1" }],
  });
});
