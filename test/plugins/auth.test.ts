import { createHash } from "node:crypto";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { Consumers } from "../../core/consumers.ts";
import { type ConfigError, type Exchange, GatewayError, textReply } from "../../core/plugin.ts";
import { auth } from "../../plugins/auth.ts";
import { buildStage, exchange, FakeHost, type RequestInit } from "../support/harness.ts";
import { hashOf } from "../support/passwords.ts";

const KEY = "a-key-of-the-mobile-app";
const sha256 = (key: string): string => createHash("sha256").update(key).digest("hex");

let host: FakeHost;
let seen: Exchange | undefined;

beforeEach(() => {
  host = new FakeHost();
  seen = undefined;
  host.consumers = new Consumers([
    {
      name: "mobile",
      roles: ["user", "beta"],
      tier: "premium",
      apiKeys: [{ id: "k1", sha256: sha256(KEY) }],
    },
    { name: "silent", roles: [], apiKeys: [{ id: "k2", sha256: sha256("the-key-of-silent") }] },
  ]);
});

async function ask(options: object, request: RequestInit): Promise<string> {
  const handler = await buildStage(
    auth,
    options as never,
    (x) => {
      seen = x;
      return textReply(200, "in");
    },
    host,
  );
  try {
    const reply = await handler(exchange(request));
    return `${reply.status} ${seen?.consumer?.name ?? "nobody"}`;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return `${error.status} ${error.code}`;
  }
}

const METHODS = { methods: ["apiKey"] };
const by = (apiKey: object, more: object = {}): object => ({ methods: [{ apiKey }], ...more });

describe("a key in the header", () => {
  it("says who asks", async () => {
    expect(await ask(METHODS, { headers: { "X-API-Key": KEY } })).toBe("200 mobile");
    expect(seen?.consumer).toEqual({
      name: "mobile",
      roles: ["user", "beta"],
      tier: "premium",
      credential: "k1",
    });
  });

  it("is taken from the request, or kept if asked", async () => {
    await ask(METHODS, { headers: { "x-api-key": KEY, "x-other": "1" } });
    expect(seen?.headers.raw).toEqual(["x-other", "1"]);
    await ask(by({ keep: true }), { headers: { "x-api-key": KEY } });
    expect(seen?.headers.get("x-api-key")).toBe(KEY);
  });

  it("can be in another header", async () => {
    const options = by({ header: "X-Mobile-Key" });
    expect(await ask(options, { headers: { "x-mobile-key": KEY } })).toBe("200 mobile");
    expect(await ask(options, { headers: { "x-api-key": KEY } })).toBe("401 UNAUTHENTICATED");
  });
});

it.each([
  ["no key", {}],
  ["another key", { headers: { "x-api-key": "a-key-that-nobody-has" } }],
  ["an empty key", { headers: { "x-api-key": "" } }],
  ["the key twice", { headers: ["x-api-key", KEY, "x-api-key", KEY] }],
  ["a right key beside a wrong one", { headers: ["x-api-key", "wrong", "x-api-key", KEY] }],
  ["the key with something after it", { headers: { "x-api-key": `${KEY},` } }],
  ["a key of a megabyte", { headers: { "x-api-key": "x".repeat(1_000_000) } }],
  ["the digest of the key", { headers: { "x-api-key": sha256(KEY) } }],
  ["bytes that are no ASCII", { headers: { "x-api-key": "\xff\x80".repeat(20) } }],
  ["the key in the query", { target: `/?x-api-key=${KEY}` }],
])("refuses %s in the same words", async (_, request) => {
  const handler = await buildStage(auth, METHODS, () => textReply(200, "in"), host);
  const error = await Promise.resolve()
    .then(() => handler(exchange(request)))
    .catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(GatewayError);
  const { code, status, detail, headers } = error as GatewayError;
  expect({ code, status, detail, headers }).toEqual({
    code: "UNAUTHENTICATED",
    status: 401,
    detail: undefined,
    headers: ["www-authenticate", "ApiKey"],
  });
});

describe("keys of which there is a hash by scrypt", () => {
  const OLD = "shop_1_first";
  const NEW = "shop_12_second";
  const key = (prefix: string, apiKey: string, more: object = {}) => ({
    id: prefix,
    prefix,
    keyHash: hashOf(apiKey),
    ...more,
  });

  beforeEach(() => {
    const hashedKeys = [
      key("shop_1", OLD, { expiresAt: host.clock.now() + 1 }),
      key("shop_12", NEW, { roles: ["beta"] }),
    ];
    host.consumers = new Consumers([{ name: "shop", roles: [], apiKeys: [], hashedKeys }]);
  });

  it("say who asks, the longest prefix first, until they expire", async () => {
    expect(await ask(METHODS, { headers: { "x-api-key": OLD } })).toBe("200 shop");
    expect(await ask(METHODS, { headers: { "x-api-key": NEW } })).toBe("200 shop");
    expect(seen?.consumer).toEqual({ name: "shop", roles: ["beta"], credential: "shop_12" });
    expect(seen?.headers.raw).toEqual([]);
    host.clock.advance(1);
    expect(await ask(METHODS, { headers: { "x-api-key": OLD } })).toBe("401 UNAUTHENTICATED");
  });

  it("are not looked at by what they begin with only", async () => {
    for (const wrong of ["shop_1", "shop_12", `${NEW}x`, "shop_12_first", "shop_", hashOf(NEW)]) {
      expect(await ask(METHODS, { headers: { "x-api-key": wrong } }), wrong).toBe("401 UNAUTHENTICATED");
    }
  });

  it("cost nothing when they were seen before, or begin with nothing that is known", async () => {
    const handler = await buildStage(auth, METHODS, () => textReply(200, "in"), host);
    const send = (apiKey: string) => handler(exchange({ headers: { "x-api-key": apiKey } }));
    expect(send(NEW)).toBeInstanceOf(Promise);
    await send(NEW);
    expect(send(NEW)).not.toBeInstanceOf(Promise);
    expect(() => send("a-key-that-nobody-has")).toThrow(GatewayError);
  });
});

describe("a key in the query", () => {
  const options = by({ query: "key" });

  it("says who asks, and is taken out of it", async () => {
    expect(await ask(options, { target: `/a?x=%2F&key=${KEY}&y=1+2` })).toBe("200 mobile");
    expect(seen?.search).toBe("?x=%2F&y=1+2");
    expect(await ask(options, { target: `/a?%6bey=${KEY}` })).toBe("200 mobile");
    expect(seen?.search).toBe("");
  });

  it("is refused when it is there twice", async () => {
    expect(await ask(options, { target: `/?key=${KEY}&key=${KEY}` })).toBe("401 UNAUTHENTICATED");
  });

  it("stays if asked", async () => {
    await ask(by({ query: "key", keep: true }), { target: `/?key=${KEY}` });
    expect(seen?.search).toBe(`?key=${KEY}`);
  });
});

describe("a key in a cookie", () => {
  it("says who asks, and is taken out of it", async () => {
    expect(await ask(by({ cookie: "session" }), { headers: { cookie: `a=1; session=${KEY}` } })).toBe(
      "200 mobile",
    );
    expect(seen?.headers.get("cookie")).toBe("a=1");
  });

  it("stays if asked", async () => {
    const cookie = `session=${KEY}`;
    expect(await ask(by({ cookie: "session", keep: true }), { headers: { cookie } })).toBe("200 mobile");
    expect(seen?.headers.get("cookie")).toBe(cookie);
  });

  it.each([false, true])("is refused when it is there twice, whether it stays or not: %s", async (keep) => {
    const options = by({ cookie: "session", keep });
    for (const cookie of [`session=${KEY}; session=other`, `session=other; session=${KEY}`]) {
      expect(await ask(options, { headers: { cookie } })).toBe("401 UNAUTHENTICATED");
    }
    const headers = ["cookie", `session=${KEY}`, "cookie", "session=other"];
    expect(await ask(options, { headers })).toBe("401 UNAUTHENTICATED");
  });
});

it("is refused when it comes in two places, since nobody can tell which counts", async () => {
  const options = by({ header: "x-key", query: "key", cookie: "key" });
  expect(await ask(options, { headers: { "x-key": KEY } })).toBe("200 mobile");
  expect(await ask(options, { target: `/?key=${KEY}` })).toBe("200 mobile");
  expect(await ask(options, { headers: { cookie: `key=${KEY}` } })).toBe("200 mobile");
  expect(await ask(options, { headers: { "x-key": KEY }, target: `/?key=${KEY}` })).toMatch(/^401/);
  expect(await ask(options, { headers: { "x-key": KEY, cookie: `key=${KEY}` } })).toMatch(/^401/);
  expect(await ask(options, { headers: { "x-key": KEY, cookie: "key=" } })).toMatch(/^401/);
});

it.each(["basic", "jwt", "introspection"])("takes a tab behind the scheme for a blank: %s", async (name) => {
  const jwt = {
    issuers: [
      { issuer: "i", anyAudience: true, algorithms: ["HS256"], secret: "a secret of thirty-two characters" },
    ],
  };
  const introspection = { endpoint: "http://127.0.0.1:1/", clientId: "a", clientSecret: "b" };
  const method = { basic: {}, jwt, introspection }[name];
  const authorization = `${name === "basic" ? "Basic" : "Bearer"}\tforged!`;
  const options = { methods: [{ [name]: method }], optional: true };
  expect(await ask(options, { headers: { authorization } })).toBe("401 UNAUTHENTICATED");
});

it("knows a key until it expires", async () => {
  host.consumers = new Consumers([
    { name: "old", roles: [], apiKeys: [{ id: "k", sha256: sha256(KEY), expiresAt: host.clock.now() + 1 }] },
  ]);
  const request = { headers: { "x-api-key": KEY } };
  expect(await ask(METHODS, request)).toBe("200 old");
  host.clock.advance(1);
  expect(await ask(METHODS, request)).toBe("401 UNAUTHENTICATED");
});

it("lets requests without a credential pass where it is optional, but none with a wrong one", async () => {
  const options = { ...METHODS, optional: true };
  expect(await ask(options, {})).toBe("200 nobody");
  expect(await ask(options, { headers: { "x-api-key": KEY } })).toBe("200 mobile");
  expect(await ask(options, { headers: { "x-api-key": "wrong" } })).toBe("401 UNAUTHENTICATED");
});

it("asks methods in their order, and goes on only where there is no credential", async () => {
  const options = { methods: [{ apiKey: { header: "x-first" } }, { apiKey: { header: "x-second" } }] };
  expect(await ask(options, { headers: { "x-second": KEY } })).toBe("200 mobile");
  expect(await ask(options, { headers: { "x-first": "the-key-of-silent", "x-second": KEY } })).toBe(
    "200 silent",
  );
  expect(await ask(options, { headers: { "x-first": "wrong", "x-second": KEY } })).toBe(
    "401 UNAUTHENTICATED",
  );
});

it("takes credentials that nobody has looked at from the request, also where they would be kept", async () => {
  const later = [
    { apiKey: { header: "x-second", query: "key", cookie: "key", keep: true } },
    { basic: { keep: true } },
  ];
  const options = { methods: [{ apiKey: { header: "x-first", keep: true } }, ...later] };
  const rest = ["cookie", "a=1; key=forged", "authorization", "Basic Zm9yZ2Vk", "x-second", "forged"];
  const request = { target: "/?key=forged&b=1", headers: ["x-first", KEY, ...rest] };
  expect(await ask(options, request)).toBe("200 mobile");
  expect(seen?.headers.raw).toEqual(["x-first", KEY, "cookie", "a=1"]);
  expect(seen?.search).toBe("?b=1");
});

it("leaves alone what methods do not look at, and what the one has kept that others look at too", async () => {
  const options = { methods: [{ apiKey: { header: "authorization", keep: true } }, "basic"] };
  host.consumers = new Consumers([
    { name: "odd", roles: [], apiKeys: [{ id: "k", sha256: sha256(`Basic ${KEY}`) }] },
  ]);
  expect(await ask(options, { headers: { authorization: `Basic ${KEY}` } })).toBe("200 odd");
  expect(seen?.headers.get("authorization")).toBe(`Basic ${KEY}`);
  host.consumers = new Consumers([{ name: "app", roles: [], apiKeys: [{ id: "k", sha256: sha256(KEY) }] }]);
  const bearer = { "x-api-key": KEY, authorization: "Bearer of-the-upstream" };
  expect(await ask({ methods: ["apiKey", "basic"] }, { headers: bearer })).toBe("200 app");
  expect(seen?.headers.raw).toEqual(["authorization", "Bearer of-the-upstream"]);
});

it("tells the upstream who asks, if asked", async () => {
  const request = { headers: { "x-api-key": KEY } };
  await ask(METHODS, request);
  expect(seen?.headers.raw).toEqual([]);
  await ask({ ...METHODS, identityHeaders: true }, request);
  expect(seen?.headers.raw).toEqual(["x-consumer-name", "mobile", "x-consumer-roles", "user,beta"]);
  await ask({ ...METHODS, identityHeaders: true }, { headers: { "x-api-key": "the-key-of-silent" } });
  expect(seen?.headers.raw).toEqual(["x-consumer-name", "silent"]);
  const others = { "x-api-key": "the-key-of-silent", "x-consumer-roles": "those-of-a-stage-above" };
  await ask({ ...METHODS, identityHeaders: true }, { headers: others });
  expect(seen?.headers.raw).toEqual(["x-consumer-name", "silent"]);
});

it("counts who was known, wrong or without a credential", async () => {
  await ask(METHODS, { headers: { "x-api-key": KEY } });
  await ask(METHODS, { headers: { "x-api-key": KEY } });
  await ask(METHODS, { headers: { "x-api-key": "wrong" } });
  await ask(METHODS, {});
  const labels = (method: string, outcome: string): string =>
    JSON.stringify({ route: "test", stage: "stage", method, outcome });
  expect(host.collected("sluice_auth_requests_total")).toEqual({
    [labels("apiKey", "known")]: 2,
    [labels("apiKey", "invalid")]: 1,
    [labels("none", "absent")]: 1,
  });
});

it.each([
  ["header", "x key"],
  ["cookie", "a=b"],
])("refuses a %s that cannot be called %j", async (key, value) => {
  const error = await buildStage(auth, by({ [key]: value }) as never, undefined, host).catch(
    (e: unknown) => e,
  );
  expect((error as ConfigError).problems).toMatchObject([
    { code: "CONFIG_VALUE", pointer: `/methods/0/apiKey/${key}` },
  ]);
});

it("says at once what is wrong in all methods", async () => {
  const methods = [{ apiKey: { header: "x key" } }, "apiKey", { apiKey: { cookie: "a=b" } }];
  const error = await buildStage(auth, { methods } as never, undefined, host).catch((e: unknown) => e);
  expect((error as ConfigError).problems.map(({ pointer }) => pointer)).toEqual([
    "/methods/0/apiKey/header",
    "/methods/2/apiKey/cookie",
  ]);
});

it("lets nobody in without a key, whatever is sent", async () => {
  const text = fc.string({ unit: "binary", maxLength: 60 });
  const value = fc.oneof(
    text,
    fc.constantFrom(KEY.slice(1), KEY.toUpperCase(), `${KEY} `, ` ${KEY}`, `${KEY}\0`),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom("x-api-key", "X-Api-Key", "authorization"), value)),
      async (pairs) => {
        fc.pre(!pairs.some(([, each]) => each === KEY));
        expect(await ask(METHODS, { headers: pairs.flat() })).toBe("401 UNAUTHENTICATED");
        expect(seen).toBeUndefined();
      },
    ),
  );
});

it("leaves an audit event for each decision, without the credential", async () => {
  await ask(METHODS, { headers: { "x-api-key": KEY } });
  await ask(METHODS, { headers: { "x-api-key": "a-wrong-key-of-somebody" } });
  await ask(METHODS, {});
  await ask({ ...METHODS, optional: true }, {});
  expect(host.audit.events).toEqual([
    { event: "auth", outcome: "allowed", method: "apiKey", consumer: "mobile" },
    { event: "auth", outcome: "refused", reason: "invalid", method: "apiKey" },
    { event: "auth", outcome: "refused", reason: "absent" },
  ]);
});
