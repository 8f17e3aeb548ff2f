import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { Consumers } from "../../core/consumers.ts";
import { KEY_PAIR_ALGORITHMS, type KeyPairAlgorithm } from "../../core/http-signatures/algorithms.ts";
import { contentDigest } from "../../core/http-signatures/content-digest.ts";
import {
  type ConfigError,
  type Exchange,
  type GatewayError,
  type Handler,
  type Reply,
  toReadable,
  StreamBody,
} from "../../core/plugin.ts";
import { auth } from "../../plugins/auth.ts";
import { balance } from "../../plugins/balance.ts";
import { retry } from "../../plugins/retry.ts";
import { sign } from "../../plugins/sign.ts";
import { buildStage, exchange, FakeHost, FakeUpstream, reply, type RequestInit } from "../support/harness.ts";

const SECRET = Buffer.alloc(32, "the upstream has it too").toString("base64");
const HMAC = { keyId: "gateway", hmacSecret: SECRET };

const pair = {
  ed25519: generateKeyPairSync("ed25519"),
  "ecdsa-p256-sha256": generateKeyPairSync("ec", { namedCurve: "P-256" }),
  "ecdsa-p384-sha384": generateKeyPairSync("ec", { namedCurve: "P-384" }),
  "rsa-pss-sha512": generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "rsa-v1_5-sha256": generateKeyPairSync("rsa", { modulusLength: 2048 }),
};
const privateKey = (algorithm: KeyPairAlgorithm): string =>
  pair[algorithm].privateKey.export({ type: "pkcs8", format: "pem" }).toString();

let host: FakeHost;
let users: FakeUpstream;
/** Each request that a target got, as it was then. */
let sent: RequestInit[];

beforeEach(() => {
  host = new FakeHost();
  users = new FakeUpstream("users", ["a:8081", "b:8082"]);
  host.upstreams.set("users", users);
  sent = [];
  for (const target of users.targets) target.answer = (x) => note(x, target.id);
  host.consumers = new Consumers([
    {
      name: "the-gateway",
      roles: [],
      apiKeys: [],
      signatureKeys: [
        { id: "hmac", keyId: "gateway", algorithm: "hmac-sha256", key: SECRET },
        ...KEY_PAIR_ALGORITHMS.map((algorithm) => ({
          id: algorithm,
          keyId: algorithm,
          algorithm,
          key: pair[algorithm].publicKey.export({ type: "spki", format: "pem" }).toString(),
        })),
      ],
    },
  ]);
});

function note(x: Exchange, authority: string, status = 200): Reply {
  sent.push({
    method: x.method,
    target: x.path + x.search,
    headers: x.headers.raw.slice(),
    body: x.body,
    init: { authority },
  });
  return reply(status);
}

const toUsers = (): Promise<Handler> => buildStage(balance, { upstream: "users" }, undefined, host);

async function send(request: RequestInit, options: object = HMAC, below?: Handler): Promise<RequestInit> {
  const handler = await buildStage(sign, { ...options }, below ?? (await toUsers()), host);
  await handler(exchange(request));
  return sent.at(-1)!;
}

/** Who sent a request, as a gateway that verifies signatures sees it. */
async function sender(request: RequestInit, signature: object = {}): Promise<string> {
  let seen: Exchange | undefined;
  const answer: Handler = (x) => {
    seen = x;
    return reply(200);
  };
  const handler = await buildStage(auth, { methods: [{ signature }] }, answer, host);
  try {
    await handler(exchange(request));
    return seen?.consumer?.name ?? "nobody";
  } catch (error) {
    return (error as GatewayError).code;
  }
}

const headersOf = ({ headers }: RequestInit): Record<string, string> => {
  const raw = headers as string[];
  return Object.fromEntries(
    raw.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), raw[i + 1]!]] : [])),
  );
};

const POST = {
  method: "POST",
  target: "/orders?id=1",
  headers: { "content-type": "text/plain" },
  body: "one",
};

describe("a signed request", () => {
  it("is one that the `signature` method of `auth` lets in, once", async () => {
    for (const request of [{}, POST]) {
      const once = await send(request);
      expect(await sender(once, { requireNonce: true })).toBe("the-gateway");
      expect(await sender(once, { requireNonce: true })).toBe("UNAUTHENTICATED");
    }
  });

  it("says what it covers, when it was made, by which key, and what for", async () => {
    const options = {
      ...HMAC,
      expires: "90s",
      nonce: false,
      label: "gw",
      tag: "app",
      components: ["@method", "content-type", "x-absent"],
    };
    const { headers } = { headers: headersOf(await send(POST, options)) };
    const created = host.clock.now() / 1000;
    expect(headers["signature-input"]).toBe(
      `gw=("@method" "content-type" "content-digest");created=${created};expires=${created + 90};alg="hmac-sha256";keyid="gateway";tag="app"`,
    );
    expect(headers["signature"]).toMatch(/^gw=:[A-Za-z0-9+/]{43}=:$/);
    expect(headers["content-digest"]).toBe(contentDigest(Buffer.from("one")));
  });

  it("has a nonce of its own", async () => {
    const nonce = async (): Promise<string | undefined> =>
      /nonce="([\w-]{36})"/.exec(headersOf(await send({}))["signature-input"]!)?.[1];
    const [first, second] = [await nonce(), await nonce()];
    expect(first).toBeTypeOf("string");
    expect(first).not.toBe(second);
  });

  it.each(KEY_PAIR_ALGORITHMS)("may be signed by %s", async (algorithm) => {
    const options = { keyId: algorithm, algorithm, privateKey: privateKey(algorithm) };
    expect(await sender(await send(POST, options))).toBe("the-gateway");
  });

  it("has the signatures of others beside its own, and none with its label", async () => {
    const others = {
      "signature-input": 'sig1=("@path");created=1, theirs=("date")',
      signature: "sig1=:AAAA:, theirs=:BBBB:",
    };
    const request = await send({ headers: others });
    const { signature, "signature-input": input } = headersOf(request);
    expect(signature).toMatch(/^sig1=:.{44}:, theirs=:BBBB:$/);
    expect(input).toMatch(/^sig1=\("@method" "@target-uri"\);.*, theirs=\("date"\)$/);
    expect(await sender(request, { label: "sig1" })).toBe("the-gateway");
  });

  it("takes the place of what a client sends that is no signature", async () => {
    const request = await send({ headers: { "signature-input": "((", signature: "sig1" } });
    expect(await sender(request)).toBe("the-gateway");
  });
});

describe("what the target sees is what is signed", () => {
  it("with the target's own host, and what stages below have made of the request", async () => {
    const last = await toUsers();
    const request = await send(POST, HMAC, (x) => {
      x.path = "/v2/orders";
      x.headers.set("content-type", "application/json");
      x.setBody('{"a":1}');
      return last(x);
    });
    expect(request.target).toBe("/v2/orders?id=1");
    expect(await sender(request)).toBe("the-gateway");
    expect(headersOf(request)["content-digest"]).toBe(contentDigest(Buffer.from('{"a":1}')));
  });

  it.each(["above", "below"])("in each attempt of a retry that stands %s", async (where) => {
    for (const target of users.targets) {
      target.answer = (x) => note(x, target.id, sent.length === 0 ? 503 : 200);
    }
    const options = { attempts: 3, methods: ["POST"], backoff: { base: "0s", max: "0s" } };
    const last = await toUsers();
    const handler =
      where === "above"
        ? await buildStage(retry, options, await buildStage(sign, { ...HMAC }, last, host), host)
        : await buildStage(sign, { ...HMAC }, await buildStage(retry, options, last, host), host);
    const result = await handler(
      exchange({ ...POST, body: new StreamBody(toReadable(exchange(POST).body!)) }),
    );
    expect(result.status).toBe(200);
    expect(sent.map(({ init }) => init?.authority).sort()).toEqual(["a:8081", "b:8082"]);
    for (const attempt of sent) expect(await sender(attempt, { requireNonce: true })).toBe("the-gateway");
  });

  it("and nothing is left of it for whoever goes on elsewhere", async () => {
    for (const target of users.targets) {
      target.answer = (x) => {
        expect(x.headers.has("signature")).toBe(true);
        throw new Error("broken");
      };
    }
    const x = exchange({ headers: { signature: "theirs=:BBBB:", "signature-input": "theirs=()" } });
    const signer = await buildStage(sign, { ...HMAC }, await toUsers(), host);
    await expect(signer(x)).rejects.toThrow("broken");
    expect(x.guards).toBeUndefined();
    expect(x.headers.raw).toEqual(["signature", "theirs=:BBBB:", "signature-input", "theirs=()"]);
  });
});

describe("a body", () => {
  const stream = (): StreamBody => new StreamBody(toReadable(exchange({ body: "x".repeat(2000) }).body!));

  it("is held up to a limit, for its digest", async () => {
    await expect(send({ method: "POST", body: stream() }, { ...HMAC, maxBody: "1KB" })).rejects.toMatchObject(
      { code: "BODY_TOO_LARGE" },
    );
    expect(await sender(await send({ method: "POST", body: stream() }))).toBe("the-gateway");
  });

  it("streams without a digest", async () => {
    const body = stream();
    const request = await send({ method: "POST", body }, { ...HMAC, contentDigest: false, maxBody: "1KB" });
    expect(request.body).toBe(body);
    expect(headersOf(request)["content-digest"]).toBeUndefined();
    expect(await sender(request, { required: ["@method", "@target-uri"] })).toBe("the-gateway");
  });

  it("keeps a digest that the client made, if that is to be signed", async () => {
    const components = ["@method", "@target-uri", "content-digest"];
    const digest = contentDigest(Buffer.from("one"));
    const request = { ...POST, headers: { "content-digest": digest } };
    expect(await sender(await send(request, { ...HMAC, components, contentDigest: false }))).toBe(
      "the-gateway",
    );
    expect(await sender(await send(request, { ...HMAC, components }))).toBe("the-gateway");
  });
});

it("sends nothing that it cannot sign", async () => {
  const bytes = { headers: { "x-name": "caf\xe9" } };
  const failure = { code: "STAGE_FAILED" };
  await expect(send(bytes, { ...HMAC, components: ["x-name"] })).rejects.toMatchObject(failure);
  await expect(
    send({ headers: { priority: "((" } }, { ...HMAC, components: ["priority;sf"] }),
  ).rejects.toMatchObject(failure);
  const last = await toUsers();
  const withStream: Handler = (x) => {
    x.body = new StreamBody(toReadable(exchange(POST).body!));
    return last(x);
  };
  await expect(send(POST, HMAC, withStream)).rejects.toMatchObject(failure);
  expect(sent).toEqual([]);
  expect(
    await sender(await send(bytes, { ...HMAC, components: ["@method", "@target-uri", "x-name;bs"] })),
  ).toBe("the-gateway");
});

it.each([
  [{ keyId: "a" }, "", "either"],
  [{ ...HMAC, privateKey: privateKey("ed25519"), algorithm: "ed25519" }, "", "either"],
  [{ ...HMAC, algorithm: "ed25519" }, "", "go together"],
  [{ keyId: "a", privateKey: privateKey("ed25519") }, "", "go together"],
  [{ keyId: "a", hmacSecret: "secret" }, "/hmacSecret", "base64"],
  [{ keyId: "a", privateKey: "key", algorithm: "ed25519" }, "/privateKey", "no private key"],
  [
    { keyId: "a", privateKey: privateKey("ed25519"), algorithm: "rsa-pss-sha512" },
    "/privateKey",
    "needs an RSA key",
  ],
  [{ ...HMAC, components: ["@method", "host"] }, "/components/1", "use @authority"],
  [{ ...HMAC, components: ["@status"] }, "/components/0", "cannot cover"],
  [{ ...HMAC, components: ["x-forwarded-for"] }, "/components/0", "is not known"],
  [{ ...HMAC, components: ["connection"] }, "/components/0", "is not known"],
  [{ ...HMAC, components: ["content-length"] }, "/components/0", "is not known"],
  [{ ...HMAC, components: ["signature;sf"] }, "/components/0", "is not known"],
  [{ ...HMAC, expires: "60d" }, "/expires", "from 1s to 30d"],
])("refuses the options %#", async (options, pointer, message) => {
  const error = await buildStage(sign, options, undefined, host).catch((e: unknown) => e);
  const { problems } = error as ConfigError;
  expect(problems).toMatchObject([{ code: "CONFIG_VALUE", pointer }]);
  expect(problems[0]!.message).toContain(message);
  expect(JSON.stringify(problems)).not.toContain(SECRET);
});

it("makes nothing but what `signature` lets in", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "B", "/", "%2F", "&", "=", "+", "1"), maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("GET", "PUT", "DELETE"),
      text,
      fc.option(text),
      fc.option(fc.string({ unit: "binary", maxLength: 50 }), { nil: null }),
      fc.subarray(["content-type", "x-name;bs", '@query-param;name="a"', "@scheme", "@request-target"]),
      async (method, path, query, body, more) => {
        const request = {
          method,
          target: query === null ? `/${path}` : `/${path}?${query}`,
          headers: { "x-name": "caf\xe9", "content-type": "text/plain" },
          body,
        };
        const components = ["@method", "@target-uri", ...more];
        expect(await sender(await send(request, { ...HMAC, components }))).toBe("the-gateway");
      },
    ),
  );
});
