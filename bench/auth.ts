/**
 * What finding out who asks costs. First in this process: new tokens by algorithm, each verified once; then more tokens
 * than are remembered, asked for as unevenly as users do, and the memory that those take which are. Then keys, passwords,
 * a signature, a token that was seen before and what other servers said before, as CPU time added to a request: one
 * gateway has a route with each and one without, which take turns under load with the same headers. Figures are medians
 * over rounds. Signatures by other algorithms are measured by `signatures.ts`.
 */
import { createHash, createHmac, generateKeyPairSync, type KeyObject, scryptSync } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { SignJWT } from "jose";
import { createExchange } from "../core/exchange.ts";
import { HeaderList } from "../core/headers.ts";
import { textReply } from "../core/plugin.ts";
import { auth } from "../plugins/auth.ts";
import { buildStage, MemoryUpstream } from "./support/memory-upstream.ts";
import { NO_LOG } from "./support/no-log.ts";
import { canPin, LOAD_CORE, pinSelf, SUBJECT_CORE } from "./support/process.ts";
import { conclude, printTable, readOptions, round, type Verdict } from "./support/report.ts";
import { measureStages } from "./support/stage-costs.ts";
import { median } from "./support/stats.ts";

const options = readOptions({ rounds: 12, seconds: 1 });
const verdicts: Verdict[] = [];

const ISSUER = "https://issuer.example";
const AUDIENCE = "bench";
const SECRET = "a secret of thirty-two bytes, ok";
/** Tokens of one measurement. */
const TOKENS = 500;
/** That are looked at at once. */
const AT_ONCE = 16;

/** How tokens of an algorithm are signed, and what the gateway is told of it. */
function keysOf(alg: string): { sign: KeyObject | Uint8Array; known: object } {
  if (alg.startsWith("HS")) return { sign: Buffer.from(SECRET), known: { secret: SECRET } };
  const { privateKey, publicKey } =
    alg === "EdDSA"
      ? generateKeyPairSync("ed25519")
      : alg.startsWith("ES")
        ? generateKeyPairSync("ec", { namedCurve: "P-256" })
        : generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { sign: privateKey, known: { publicKey: publicKey.export({ type: "spki", format: "pem" }) } };
}

let made = 0;
function createToken(alg: string, key: KeyObject | Uint8Array): Promise<string> {
  return new SignJWT({ roles: ["user"], scope: "read write", email: "somebody@example.com" })
    .setProtectedHeader({ alg, typ: "JWT" })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject("somebody")
    .setJti(String(made++))
    .setIssuedAt()
    .setExpirationTime("1h")
    .sign(key);
}

const methodOf = (alg: string, known: object, header = "authorization"): object => ({
  jwt: { header, issuers: [{ issuer: ISSUER, audience: AUDIENCE, algorithms: [alg], ...known }] },
});

/** CPU time of a new token, in microseconds, by round. */
async function measureNew(alg: string): Promise<number[]> {
  const { sign, known } = keysOf(alg);
  const stage = { methods: [methodOf(alg, known)] };
  const reply = textReply(200, "in");
  const handler = await buildStage(auth, stage, new MemoryUpstream(1, () => 1), () => reply);
  const samples: number[] = [];
  for (let i = 0; i <= options.rounds; i++) {
    const tokens = await Promise.all(Array.from({ length: TOKENS }, () => createToken(alg, sign)));
    const before = process.cpuUsage();
    for (let at = 0; at < TOKENS; at += AT_ONCE) {
      await Promise.all(
        tokens.slice(at, at + AT_ONCE).map((token) => {
          const headers = new HeaderList(["host", "api.example.com", "authorization", `Bearer ${token}`]);
          return handler(createExchange({ log: NO_LOG, target: "/", headers }));
        }),
      );
    }
    const { user, system } = process.cpuUsage(before);
    if (i > 0) samples.push((user + system) / TOKENS); // the first round compiles
  }
  return samples;
}

pinSelf(SUBJECT_CORE);
const ALGORITHMS = ["HS256", "RS256", "PS256", "ES256", "EdDSA"] as const;
const fresh: Record<string, number> = {};
for (const alg of ALGORITHMS) fresh[alg] = round(median(await measureNew(alg)), 1);
console.log(`new tokens: ${options.rounds} rounds of ${TOKENS}, ${canPin ? "pinned" : "NOT pinned"}\n`);
printTable(
  ["algorithm", "CPU µs of a new token"],
  ALGORITHMS.map((alg) => [alg, fresh[alg]!.toFixed(1)]),
);

/** Ten times as many as are remembered. */
const MANY_TOKENS = 200_000;
const ZIPF_REQUESTS = 200_000;

/** Quick to make: the ones of one issuer differ by their claims only. */
function createTokens(count: number): string[] {
  const now = Math.floor(Date.now() / 1000);
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");
  const head = encode({ alg: "HS256", typ: "JWT" });
  return Array.from({ length: count }, (_, i) => {
    const claims = { iss: ISSUER, aud: AUDIENCE, sub: `user-${i}`, roles: ["user"], exp: now + 86_400 };
    const input = `${head}.${encode({ ...claims, email: `user-${i}@example.com` })}`;
    return `${input}.${createHmac("sha256", SECRET).update(input).digest("base64url")}`;
  });
}

/** Places by Zipf's law: the nth is asked for 1/n times as often as the first. */
function createZipf(count: number): () => number {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) sums[i] = sum += 1 / (i + 1);
  return () => {
    const wanted = Math.random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
function heapMb(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed / 1e6;
}

/** The share of requests whose token is remembered, in percent, and what those remembered take, in MB. */
async function measureMemory(): Promise<{ hits: number; mb: number }> {
  const stage = { methods: [methodOf("HS256", keysOf("HS256").known)] };
  const reply = textReply(200, "in");
  const handler = await buildStage(auth, stage, new MemoryUpstream(1, () => 1), () => reply);
  const tokens = createTokens(MANY_TOKENS);
  const ask = (token: string) => {
    const headers = new HeaderList(["host", "api.example.com", "authorization", `Bearer ${token}`]);
    return handler(createExchange({ log: NO_LOG, target: "/", headers }));
  };
  const before = heapMb();
  for (const token of tokens) await ask(token);
  const mb = heapMb() - before;
  const pick = createZipf(MANY_TOKENS);
  let hits = 0;
  for (let i = 0; i < ZIPF_REQUESTS; i++) {
    const answer = ask(tokens[pick()]!);
    if (answer instanceof Promise) await answer;
    else hits++;
  }
  return { hits: round((100 * hits) / ZIPF_REQUESTS, 1), mb: round(mb, 1) };
}

const remembered = await measureMemory();
console.log(`\n${MANY_TOKENS} tokens, ten times as many as are remembered\n`);
printTable(
  ["", "measured", "target"],
  [
    ["remembered, by Zipf", `${remembered.hits} %`, ">= 60 %"],
    ["memory of those remembered", `${remembered.mb} MB`, "<= 20 MB"],
  ],
);
verdicts.push(
  { what: "tokens looked at again, by Zipf", value: round(100 - remembered.hits, 1), limit: 40, unit: " %" },
  { what: "memory of tokens", value: remembered.mb, limit: 20, unit: " MB" },
);

const KEY = "a-key-of-the-bench-that-is-long";
const CONSUMERS = 1000;

const digest = (key: string): string => createHash("sha256").update(key).digest("hex");
const { sign, known } = keysOf("EdDSA");
/** Says who asks, once: its answers are remembered. */
const other = createServer((_, response) => {
  response.setHeader("x-consumer-name", "somebody").end('{"active":true,"sub":"somebody","scope":"read"}');
}).listen(0, "127.0.0.1");
await once(other, "listening");
other.unref();
const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
const introspection = { endpoint: url, clientId: "bench", clientSecret: SECRET, cacheFor: "1d" };

const HMAC_SECRET = Buffer.alloc(32, "bench");
/** Headers of a signature (RFC 9421) of GET requests for a path. */
function signatureOf(path: string): Record<string, string> {
  const input = `("@method" "@path");created=${Math.floor(Date.now() / 1000)};keyid="bench-key"`;
  const base = `"@method": GET\n"@path": ${path}\n"@signature-params": ${input}`;
  const signature = createHmac("sha256", HMAC_SECRET).update(base).digest("base64");
  return { "signature-input": `sig=${input}`, signature: `sig=:${signature}:` };
}

/** As dear as `sluice hash-password` makes it. */
function hashOf(password: string): string {
  const salt = Buffer.alloc(16, "salt");
  const bytes = scryptSync(password, salt, 32, { N: 2 ** 15, r: 8, p: 3, maxmem: 2 ** 28 });
  const [saltText, text] = [salt, bytes].map((each) => each.toString("base64").replaceAll("=", ""));
  return `$scrypt$ln=15,r=8,p=3$${saltText}$${text}`;
}

const sent = {
  "x-api-key": KEY,
  "x-token": await createToken("EdDSA", sign),
  authorization: `Basic ${Buffer.from("bench:a password").toString("base64")}`,
  ...signatureOf("/hmac-signature/17"),
};
const authBy = (method: string | object): object[] => [{ plugin: "auth", methods: [method] }];
const CASES = [
  { name: "bare", pipeline: [], limit: undefined },
  { name: "api-key", pipeline: authBy("apiKey"), limit: 1.5 },
  { name: "token", pipeline: authBy(methodOf("EdDSA", known, "x-token")), limit: 2 },
  { name: "password", pipeline: authBy("basic"), limit: undefined },
  {
    name: "hmac-signature",
    pipeline: authBy({ signature: { required: ["@method", "@path"], maxAge: "1d" } }),
    limit: 40,
  },
  {
    name: "introspection",
    pipeline: authBy({ introspection: { ...introspection, header: "x-token" } }),
    limit: undefined,
  },
  { name: "forward", pipeline: authBy({ forward: { url, cacheFor: "1d" } }), limit: undefined },
  {
    name: "api-key-and-rules",
    pipeline: [
      ...authBy("apiKey"),
      { plugin: "authorize", allow: [{ roles: ["admin"] }, { method: "GET", roles: ["user"] }] },
    ],
    limit: undefined,
  },
] as const;

pinSelf(LOAD_CORE);
const config = {
  consumers: Array.from({ length: CONSUMERS }, (_, i) => ({
    name: `consumer-${i}`,
    roles: ["user"],
    credentials: [
      { apiKeySha256: digest(i === 0 ? KEY : `key of ${i}`) },
      ...(i === 0
        ? [
            { username: "bench", passwordHash: hashOf("a password") },
            { keyId: "bench-key", hmacSecret: HMAC_SECRET.toString("base64") },
          ]
        : []),
    ],
  })),
};
const costs = await measureStages(CASES, config, options, verdicts, sent);
conclude("auth", verdicts, { fresh, remembered, ...costs }, options);
