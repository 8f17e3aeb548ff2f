/** Every kind of token that somebody might make up, against an issuer that signs by RSA and one that shares a secret. */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { type Exchange, GatewayError, type Handler, textReply } from "../../../core/plugin.ts";
import { auth } from "../../../plugins/auth.ts";
import { buildStage, exchange, FakeHost } from "../../support/harness.ts";
import { encode, jwkOf, keyPair, makeToken, pemOf } from "../../support/tokens.ts";

const SECRET = "the secret that is shared with the second issuer";
const RSA = keyPair("RS256");
const PEM = pemOf(RSA.publicKey);
const MINE = keyPair("RS256", "of the attacker");

const host = new FakeHost();
const now = host.clock.now() / 1000;
const FIRST = { iss: "https://first.example", aud: ["orders", "users"], sub: "alice", exp: now + 60 };
const SECOND = { ...FIRST, iss: "https://second.example" };
const HEADER = { alg: "RS256", kid: "1", typ: "at+jwt" };

let handler: Handler;
let seen: Exchange | undefined;

beforeAll(async () => {
  const issuers = [
    {
      issuer: FIRST.iss,
      prefix: "",
      audience: "orders",
      algorithms: ["RS256"],
      jwks: { keys: [jwkOf(RSA.publicKey, { kid: "1" })] },
      typ: "at+jwt",
    },
    { issuer: SECOND.iss, prefix: "", audience: "orders", algorithms: ["HS256"], secret: SECRET },
  ];
  const upstream: Handler = (x) => {
    seen = x;
    return textReply(200, "in");
  };
  handler = await buildStage(auth, { methods: [{ jwt: { issuers } }] } as never, upstream, host);
});

async function ask(headers: string[]): Promise<string> {
  seen = undefined;
  try {
    return String((await handler(exchange({ headers }))).status);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    expect(seen).toBeUndefined();
    return `${error.status} ${error.code} ${error.headers.join(" ")}`;
  }
}

const bearer = (token: string): Promise<string> => ask(["authorization", `Bearer ${token}`]);
const REFUSED = '401 UNAUTHENTICATED www-authenticate Bearer realm="sluice", error="invalid_token"';

const right = makeToken(HEADER, FIRST, RSA.privateKey);
const [header, payload, signature] = right.split(".") as [string, string, string];
const signed = (head: object, claims: string | Buffer | object = FIRST): string =>
  makeToken({ ...HEADER, ...head }, claims, RSA.privateKey, "RS256");
const confused = (key: string | Buffer, head: object = {}): string =>
  makeToken({ ...HEADER, alg: "HS256", ...head }, FIRST, key);
const unsigned = (alg: unknown, end = "."): string => `${encode({ ...HEADER, alg })}.${payload}${end}`;

it("lets in the tokens that the others are made from", async () => {
  expect(await bearer(right)).toBe("200");
  expect(await bearer(makeToken({ alg: "HS256" }, SECOND, SECRET))).toBe("200");
  expect(await bearer(signed({ typ: "application/AT+jwt" }))).toBe("200");
});

const der = RSA.publicKey.export({ type: "spki", format: "der" });
const jwk = JSON.stringify(jwkOf(RSA.publicKey, { kid: "1" }));

it.each([
  ...[
    "none",
    "None",
    "NONE",
    "nOnE",
    " none",
    "none ",
    "",
    "RS256 ",
    "rs256",
    "RS512",
    "HS256",
    "toString",
    "__proto__",
  ]
    .flatMap(
      (alg) =>
        [
          [alg, "."],
          [alg, ""],
          [alg, `.${signature}`],
        ] as const,
    )
    .map(([alg, end]) => [
      `the algorithm ${JSON.stringify(alg)} and the end ${end.slice(0, 9)}`,
      unsigned(alg, end),
    ]),
  ...[undefined, null, 0, true, ["RS256"], { RS256: 1 }].map((alg) => [
    `the algorithm ${JSON.stringify(alg)}`,
    unsigned(alg, `.${signature}`),
  ]),
  ["the public key as a secret", confused(PEM)],
  ["the trimmed public key as a secret", confused(PEM.trim())],
  ["the public key in DER as a secret", confused(der)],
  ["the JWK as a secret", confused(jwk)],
  ["an empty secret", confused("")],
  ["the public key as the secret of the other issuer", makeToken({ alg: "HS256" }, SECOND, PEM)],
  ["the secret of the other issuer", confused(SECRET)],
  ["RS256 for an issuer that shares a secret", makeToken({ alg: "RS256" }, SECOND, RSA.privateKey)],
  ["PS256 where only RS256 may be", makeToken({ ...HEADER, alg: "PS256" }, FIRST, RSA.privateKey)],
  ["a signature that is stripped", `${header}.${payload}.`],
  ["a signature that is missing", `${header}.${payload}`],
  ["a signature of zeros", `${header}.${payload}.${"A".repeat(signature.length)}`],
  ["the signature of other claims", `${header}.${encode({ ...FIRST, sub: "root" })}.${signature}`],
  ["the signature of another header", `${encode({ ...HEADER, x: 1 })}.${payload}.${signature}`],
  ["a key of the attacker's", makeToken(HEADER, FIRST, MINE.privateKey)],
  ["a key in the header", makeToken({ ...HEADER, jwk: jwkOf(MINE.publicKey) }, FIRST, MINE.privateKey)],
  [
    "a key elsewhere",
    makeToken({ ...HEADER, jku: "http://127.0.0.1:1/", x5u: "http://127.0.0.1:1/" }, FIRST, MINE.privateKey),
  ],
  [
    "a certificate in the header",
    makeToken({ ...HEADER, x5c: [der.toString("base64")] }, FIRST, MINE.privateKey),
  ],
  ...["../../dev/null", "/etc/passwd", "1' OR '1'='1", "__proto__", "1\0", "", "constructor"].map((kid) => [
    `the key ${JSON.stringify(kid)}`,
    signed({ kid }),
  ]),
  ...[null, 1, ["1"], {}].map((kid) => [`the key ${JSON.stringify(kid)}`, signed({ kid })]),
  ["an issuer that nobody knows", signed({}, { ...FIRST, iss: "https://third.example" })],
  ["the other issuer", signed({}, SECOND)],
  ["an issuer in another case", signed({}, { ...FIRST, iss: "https://FIRST.example" })],
  ["an issuer and a slash", signed({}, { ...FIRST, iss: `${FIRST.iss}/` })],
  ["two issuers", signed({}, { ...FIRST, iss: [FIRST.iss] })],
  ["no issuer", signed({}, { ...FIRST, iss: undefined })],
  ["the issuer __proto__", signed({}, { ...FIRST, iss: "__proto__" })],
  ["another audience", signed({}, { ...FIRST, aud: "users" })],
  ["the beginning of the audience", signed({}, { ...FIRST, aud: "order" })],
  ["the audience in an object", signed({}, { ...FIRST, aud: { orders: true } })],
  ["no audience", signed({}, { ...FIRST, aud: undefined })],
  ["a time that is over", signed({}, { ...FIRST, exp: now - 30 })],
  ["no end", signed({}, { ...FIRST, exp: undefined })],
  ["an end that is a text", signed({}, { ...FIRST, exp: String(now + 60) })],
  ["an end that is null", signed({}, { ...FIRST, exp: null })],
  ["a time that has not begun", signed({}, { ...FIRST, nbf: now + 31 })],
  ["a beginning that is a text", signed({}, { ...FIRST, nbf: "0" })],
  ["another type", signed({ typ: "JWT" })],
  ["no type", signed({ typ: undefined })],
  ["an extension that is critical", signed({ crit: ["exp"], exp: now + 60 })],
  ["a critical extension that libraries know", signed({ crit: ["b64"], b64: true })],
  ["no extension, though critical", signed({ crit: [] })],
  ["an extension", signed({ b64: false })],
  ["claims that are a list", signed({}, JSON.stringify([FIRST]))],
  ["claims that are null", signed({}, "null")],
  ["claims that are no JSON", signed({}, `${JSON.stringify(FIRST)}}`)],
  ["claims that are no UTF-8", signed({}, Buffer.from(JSON.stringify({ ...FIRST, x: "\xff" }), "latin1"))],
  ["a header that is a list", `${encode([HEADER])}.${payload}.${signature}`],
  ["the end cut off", right.slice(0, -1)],
  ["the beginning cut off", right.slice(1)],
  ["a fourth part", `${right}.${payload}`],
  ["five parts, as encrypted ones have", `${right}.${payload}.${payload}`],
  ["padding", `${right}==`],
  ["base64 that is not for URLs", right.replaceAll("_", "/").replaceAll("-", "+")],
  ["blanks within", `${header} .${payload}.${signature}`],
  ["letters that are no ASCII", `${right.slice(0, -1)}\xe9`],
  ["a megabyte", `${header}.${"A".repeat(2 ** 20)}.${signature}`],
  ["claims of a megabyte that are signed", signed({}, { ...FIRST, x: "x".repeat(2 ** 20) })],
  ["ten thousand brackets", `${header}.${encode("[".repeat(10_000))}.${signature}`],
  ["nothing", ""],
  ["JSON", JSON.stringify({ payload, signatures: [{ protected: header, signature }] })],
])("refuses %s", async (_, token) => {
  expect(await bearer(token as string)).toBe(REFUSED);
});

describe("two headers", () => {
  const ok = `Bearer ${right}`;
  it.each([
    ["the same twice", ["authorization", ok, "Authorization", ok]],
    ["a right one and a wrong one", ["authorization", ok, "authorization", "Bearer x"]],
    ["another scheme before it", ["authorization", "Basic YTpi", "authorization", ok]],
    ["an empty one", ["authorization", "", "authorization", ok]],
    ["both in one line", ["authorization", `${ok}, ${ok}`]],
  ])("are refused: %s", async (_, headers) => {
    expect(await ask(headers)).toBe(REFUSED);
  });
});

it("refuses every token of which a character was changed", async () => {
  const other = fc.constantFrom(..."ABCXYZabcxyz0123456789-_.=+/ ~\xff".split(""));
  const cases = fc.tuple(fc.nat(right.length - 1), other).filter(([i, c]) => right[i] !== c);
  await fc.assert(
    fc.asyncProperty(cases, async ([i, c]) => {
      expect(await bearer(right.slice(0, i) + c + right.slice(i + 1))).toMatch(/^401/);
    }),
    { numRuns: 500 },
  );
  for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
    if (!right.endsWith(c)) expect(await bearer(right.slice(0, -1) + c)).toBe(REFUSED);
  }
});
