/**
 * Credentials of every kind, right and wrong, and who says which is which: not the gateway's code, but how they were
 * made. For tests of whole gateways in memory.
 */
import { createHmac, scryptSync, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { readSecret } from "../../core/http-signatures/algorithms.ts";
import type { TestRequestInit } from "../../core/testing/test-gateway.ts";
import { createAuthority, issueClient } from "./certificates.ts";
import { signed } from "./signed.ts";
import { encode, makeToken } from "./tokens.ts";

/** When the gateways of these tests believe to be: the certificates of the example are valid then. */
export const NOW = Date.UTC(2027, 0, 1);
const now = NOW / 1000;

export const KINDS = ["apiKey", "basic", "jwt", "signature", "introspection", "forward", "mtls"] as const;
export type Kind = (typeof KINDS)[number];

const KEY = "the-key-of-the-mobile-app";
const EXPIRED_KEY = "the-key-that-has-expired";
const PASSWORD = "correct horse";
const JWT_SECRET = "a secret of thirty-two bytes, ok";
const HMAC_SECRET = Buffer.alloc(32, "partner").toString("base64");
const WRONG_HMAC_SECRET = Buffer.alloc(32, "Partner").toString("base64");
export const OPAQUE_TOKEN = "an-opaque-token-that-is-active";
export const SESSION = "a-session-that-another-server-knows";

const certificates = join(import.meta.dirname, "../../examples/auth");
const CLIENTS_CA = readFileSync(join(certificates, "clients-ca.pem"), "utf8");
const CLIENT = readFileSync(join(certificates, "till-7.pem"));
const STRANGER = (
  await issueClient(await createAuthority("Clients of the example"), "till-7", {
    altNames: [{ type: 2, value: "till-7.example.com" }],
  })
).cert;

/** As RFC 9440 has it. */
const fieldOf = (der: Buffer): string => `:${der.toString("base64")}:`;
const derOf = (pem: string | Buffer): Buffer => new X509Certificate(pem).raw;

const unpadded = (bytes: Buffer): string => bytes.toString("base64").replaceAll("=", "");

/** As cheap as may be. */
function hashOf(password: string): string {
  const salt = Buffer.alloc(16, "salt");
  const hash = scryptSync(password, salt, 32, { N: 2 ** 14, r: 8, p: 1 });
  return `$scrypt$ln=14,r=8,p=1$${unpadded(salt)}$${unpadded(hash)}`;
}

const passwordHash = hashOf(PASSWORD);

export const CONSUMERS = [
  {
    name: "of-apiKey",
    credentials: [{ apiKey: KEY }, { apiKey: EXPIRED_KEY, expires: "2025-12-31" }],
  },
  { name: "of-basic", credentials: [{ username: "alice", passwordHash }] },
  { name: "of-mtls", credentials: [{ certificateSan: "dns:till-7.example.com" }] },
  { name: "of-signature", credentials: [{ keyId: "partner", hmacSecret: HMAC_SECRET }] },
];

/** The option of `auth` for a kind, given who introspects tokens and who is asked about sessions. */
export function methodOf(
  kind: Kind,
  { oauth, checker }: { oauth: string; checker: string },
): object | string {
  const methods: Record<Kind, object | string> = {
    apiKey: { apiKey: { header: "x-api-key", query: "key", cookie: "key" } },
    basic: "basic",
    jwt: {
      jwt: { issuers: [{ issuer: "i", audience: "a", algorithms: ["HS256"], secret: JWT_SECRET }] },
    },
    signature: { signature: { required: ["@method", "@target-uri"] } },
    introspection: {
      introspection: { endpoint: oauth, clientId: "g", clientSecret: "s", header: "x-token", cacheFor: "1h" },
    },
    mtls: { mtls: { ca: CLIENTS_CA } },
    forward: { forward: { url: checker, headers: ["x-session"], cacheFor: "1h" } },
  };
  return methods[kind];
}

/** A request that is being put together; headers have several lines by name. */
export interface Draft {
  method: string;
  target: string;
  headers: Record<string, string[]>;
}

/** A credential, or what looks like one. */
export interface Part {
  readonly kind: Kind;
  readonly label: string;
  readonly isValid: boolean;
  /** Signatures must come last. */
  put(draft: Draft): void;
}

const put =
  (name: string, value: string): Part["put"] =>
  ({ headers }) =>
    void (headers[name] ??= []).push(value);

const putQuery =
  (pair: string): Part["put"] =>
  (draft) => {
    draft.target += `${draft.target.includes("?") ? "&" : "?"}${pair}`;
  };

const base64 = (text: string): string => Buffer.from(text).toString("base64");

function jwt(claims: object = {}, header: { alg: string } = { alg: "HS256" }, secret = JWT_SECRET): string {
  return makeToken(
    header,
    { iss: "i", aud: "a", sub: "of-jwt", exp: now + 3600, ...claims },
    secret,
    "HS256",
  );
}

/** @param label wrong ones have another: of two with the same label the last one counts (RFC 9651 section 3.2) */
function sign(
  parameters: object = {},
  secret = HMAC_SECRET,
  change: (draft: Draft) => object = () => ({}),
  label = "wrong",
) {
  return (draft: Draft): void => {
    const { method, target } = { ...draft, ...change(draft) };
    const key = readSecret(secret);
    const { headers } = signed(
      { method, target },
      { key, label, parameters: { created: now, keyid: "partner", ...parameters } },
    );
    for (let i = 0; i < headers.length; i += 2) (draft.headers[headers[i]!] ??= []).push(headers[i + 1]!);
  };
}

/** Texts that are nearly another. None of them has a blank at an end, which would not count. */
const nearly = (text: string): string[] => [
  text.slice(1),
  text.slice(0, -1),
  `${text}x`,
  `x${text}`,
  text.toUpperCase(),
  text + text,
  `${text},${text}`,
  `"${text}"`,
  text.replace("-", "%2D"),
  text.replace("-", "\u2010"),
  createHmac("sha256", "").update(text).digest("hex"),
  "undefined",
  "__proto__",
];
function changedAt(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[(at + bytes.length) % bytes.length]! ^= 1;
  return changed;
}

/** Those that a header can have, as HTTP/1.1 has them. */
const nearlyInHeaders = (text: string): string[] =>
  nearly(text).filter((each) => /^[\x21-\x7e]+$/.test(each));

const parts = (kind: Kind, isValid: boolean, all: Record<string, Part["put"]>): Part[] =>
  Object.entries(all).map(([text, each]) => {
    const label = `${isValid ? "valid" : "wrong"} ${kind}: ${text}`;
    return { kind, label, isValid, put: each, [fc.toStringMethod]: () => label };
  });

const wrong = (kind: Kind, texts: readonly string[], how: (text: string) => Part["put"]): Part[] =>
  parts(kind, false, Object.fromEntries(texts.map((text) => [text, how(text)])));

const escapeAll = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
const [jwtHeader, jwtClaims, jwtSignature] = jwt().split(".") as [string, string, string];

/** All there are. */
export const PARTS: readonly Part[] = [
  ...parts("apiKey", true, {
    header: put("x-api-key", KEY),
    "header in another case": put("X-Api-KEY", KEY),
    query: putQuery(`key=${KEY}`),
    "query, escaped": putQuery(`%6bey=${escapeAll(KEY)}`),
    cookie: put("cookie", `a=1; key=${KEY}`),
  }),
  ...wrong("apiKey", [...nearlyInHeaders(KEY), EXPIRED_KEY], (text) => put("x-api-key", text)),
  ...wrong("apiKey", ["", ...nearly(KEY), EXPIRED_KEY], (text) => putQuery(`key=${escapeAll(text)}`)),
  ...wrong(
    "apiKey",
    nearlyInHeaders(KEY).filter((text) => !/[",]/.test(text)),
    (text) => put("cookie", `key=${text}`),
  ),
  ...parts("basic", true, {
    right: put("authorization", `Basic ${base64(`alice:${PASSWORD}`)}`),
    "in another case": put("Authorization", `bAsIc ${base64(`alice:${PASSWORD}`)}`),
  }),
  ...wrong(
    "basic",
    [
      "",
      "alice:",
      ":",
      "alice",
      `alice:${PASSWORD}:`,
      `Alice:${PASSWORD}`,
      `nobody:${PASSWORD}`,
      `alice: ${PASSWORD}`,
      `alice:${PASSWORD}\n`,
      `alice\0:${PASSWORD}`,
      `alice:${passwordHash}`,
    ],
    (text) => put("authorization", `Basic ${base64(text)}`),
  ),
  ...parts("basic", false, { "not in base64": put("authorization", `Basic alice:${PASSWORD}`) }),
  ...parts("jwt", true, { right: put("authorization", `Bearer ${jwt()}`) }),
  ...wrong(
    "jwt",
    [
      "",
      "x",
      "..",
      jwt({ exp: now - 3600 }),
      jwt({ nbf: now + 3600 }),
      jwt({ exp: undefined }),
      jwt({ exp: "9999999999" }),
      jwt({ aud: "b" }),
      jwt({ aud: undefined }),
      jwt({ iss: "I" }),
      jwt({ sub: undefined }),
      jwt({ sub: "" }),
      jwt({}, { alg: "HS512" }),
      jwt({}, { alg: "hs256" }),
      jwt({}, { alg: "HS256" }, ""),
      jwt({}, { alg: "HS256" }, "another secret of thirty-two byte"),
      `${encode({ alg: "none" })}.${jwtClaims}.`,
      `${encode({ alg: "none" })}.${jwtClaims}.${jwtSignature}`,
      `${jwtHeader}.${jwtClaims}.`,
      `${jwtHeader}.${jwtClaims}`,
      `${jwtHeader}.${encode({ iss: "i", aud: "a", sub: "root", exp: now + 3600 })}.${jwtSignature}`,
    ],
    (text) => put("authorization", `Bearer ${text}`),
  ),
  ...parts("signature", true, { right: sign({}, HMAC_SECRET, () => ({}), "right") }),
  ...parts("signature", false, {
    "other key": sign({}, WRONG_HMAC_SECRET),
    "no such key": sign({ keyid: "nobody" }),
    "other method": sign({}, HMAC_SECRET, () => ({ method: "PATCH" })),
    "other path": sign({}, HMAC_SECRET, () => ({ target: "/other" })),
    "more query": sign({}, HMAC_SECRET, ({ target }) => ({
      target: `${target}${target.includes("?") ? "&" : "?"}a=1`,
    })),
    old: sign({ created: now - 3600 }),
    early: sign({ created: now + 3600 }),
    ended: sign({ expires: now - 60 }),
    "other algorithm": sign({ alg: "ed25519" }),
    malformed: ({ headers }) => {
      headers["signature-input"] = ["sig1=("];
      headers["signature"] = ["sig1=:AAAA:"];
    },
  }),
  ...parts("introspection", true, { right: put("x-token", OPAQUE_TOKEN) }),
  ...wrong("introspection", nearlyInHeaders(OPAQUE_TOKEN), (text) => put("x-token", text)),
  ...parts("forward", true, { right: put("x-session", SESSION) }),
  ...wrong("forward", nearlyInHeaders(SESSION), (text) => put("x-session", text)),
  ...parts("mtls", true, { right: put("client-cert", fieldOf(derOf(CLIENT))) }),
  ...parts("mtls", false, {
    "of another authority": put("client-cert", fieldOf(derOf(STRANGER))),
    "the authority itself": put("client-cert", fieldOf(derOf(CLIENTS_CA))),
    changed: put("client-cert", fieldOf(changedAt(derOf(CLIENT), -1))),
    cut: put("client-cert", fieldOf(derOf(CLIENT).subarray(0, -1))),
    "longer than it is": put("client-cert", fieldOf(Buffer.concat([derOf(CLIENT), Buffer.alloc(1)]))),
    "as text": put("client-cert", fieldOf(CLIENT)),
    bare: put("client-cert", derOf(CLIENT).toString("base64")),
    "in percent-encoding": put("client-cert", encodeURIComponent(CLIENT.toString())),
    "twice in one line": put("client-cert", `${fieldOf(derOf(CLIENT))},${fieldOf(derOf(CLIENT))}`),
    nothing: put("client-cert", "::"),
  }),
];

/** Who is let in by `methods`, in their order: its name, nobody (`""`) where there is no credential, or undefined. */
export function judge(methods: readonly Kind[], sent: readonly Part[]): string | undefined {
  // Nobody can tell which of two lines counts, whatever scheme either has.
  const lines = sent.filter(({ kind }) => kind === "basic" || kind === "jwt").length;
  for (const kind of methods) {
    const own = sent.filter((part) => part.kind === kind);
    if (lines > 1 && (kind === "basic" || kind === "jwt")) return undefined;
    if (own.length === 0) continue;
    return own.length === 1 && own[0]!.isValid ? `of-${kind}` : undefined;
  }
  return "";
}

/** The request with these parts, signatures last. */
export function assemble(draft: Draft, sent: readonly Part[]): { target: string; init: TestRequestInit } {
  const order = [...sent].sort((a, b) => Number(a.kind === "signature") - Number(b.kind === "signature"));
  for (const part of order) part.put(draft);
  const { target, method, headers } = draft;
  return { target, init: { method, headers } };
}
