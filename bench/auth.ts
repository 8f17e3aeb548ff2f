/**
 * What finding out who asks costs. First new tokens by algorithm, each verified once, in this process. Then keys, a
 * token that was seen before and what other servers said before, as CPU time added to a request: one gateway has a route with each and one without, which
 * take turns under load with the same headers. Figures are medians over rounds.
 */
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
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

const options = readOptions({ rounds: 15, seconds: 1 });
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

const methodOf = (alg: string, known: object): object => ({
  jwt: { issuers: [{ issuer: ISSUER, audience: AUDIENCE, algorithms: [alg], ...known }] },
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

const sent = { "x-api-key": KEY, authorization: `Bearer ${await createToken("EdDSA", sign)}` };
const CASES = [
  { name: "bare", pipeline: [], limit: undefined },
  { name: "api-key", pipeline: [{ plugin: "auth", methods: ["apiKey"] }], limit: 1.5 },
  { name: "token", pipeline: [{ plugin: "auth", methods: [methodOf("EdDSA", known)] }], limit: 2 },
  { name: "introspection", pipeline: [{ plugin: "auth", methods: [{ introspection }] }], limit: undefined },
  {
    name: "forward",
    pipeline: [{ plugin: "auth", methods: [{ forward: { url, cacheFor: "1d" } }] }],
    limit: undefined,
  },
  {
    name: "api-key-and-rules",
    pipeline: [
      { plugin: "auth", methods: ["apiKey"] },
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
    credentials: [{ apiKeySha256: digest(i === 0 ? KEY : `key of ${i}`) }],
  })),
};
const costs = await measureStages(CASES, config, options, verdicts, sent);
conclude("auth", verdicts, { fresh, ...costs }, options);
