/**
 * What signed requests cost: CPU time of the stage that signs one, and of the stage that finds out by its signature who
 * asks, by algorithm, with a body of 1 KB, in this process. Figures are medians over rounds.
 */
import { generateKeyPairSync } from "node:crypto";
import { BytesBody } from "../core/body.ts";
import { Consumers, type SignatureKeyRecord } from "../core/consumers.ts";
import { createExchange, type Exchange } from "../core/exchange.ts";
import { HeaderList } from "../core/headers.ts";
import { KEY_PAIR_ALGORITHMS, type KeyPairAlgorithm } from "../core/http-signatures/algorithms.ts";
import { type Handler, textReply } from "../core/plugin.ts";
import { isAdmitted } from "../core/target-guards.ts";
import { auth } from "../plugins/auth.ts";
import { sign } from "../plugins/sign.ts";
import { buildStage, MemoryUpstream } from "./support/memory-upstream.ts";
import { NO_LOG } from "./support/no-log.ts";
import { canPin, pinSelf, SUBJECT_CORE } from "./support/process.ts";
import { conclude, printTable, readOptions, round } from "./support/report.ts";
import { median } from "./support/stats.ts";

const options = readOptions({ rounds: 15, seconds: 1 });
/** Requests of one measurement. */
const REQUESTS = 500;
const BODY = Buffer.alloc(1024, "x");
const SECRET = Buffer.alloc(32, 1).toString("base64");
const reply = textReply(200, "in");
const upstream = new MemoryUpstream(1, () => 1);
const target = upstream.targets[0]!;
/** The headers of the request that was signed last. */
let signed: string[] = [];

const send: Handler = (x) => {
  if (!isAdmitted(x, target)) throw new Error("not signed");
  signed = x.headers.raw.slice();
  return reply;
};

function keysOf(algorithm: KeyPairAlgorithm): { privateKey: string; publicKey: string } {
  const { privateKey, publicKey } =
    algorithm === "ed25519"
      ? generateKeyPairSync("ed25519")
      : algorithm.startsWith("ecdsa")
        ? generateKeyPairSync("ec", { namedCurve: algorithm.includes("p256") ? "P-256" : "P-384" })
        : generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    publicKey: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

function createRequest(headers: readonly string[]): Exchange {
  return createExchange({
    log: NO_LOG,
    method: "POST",
    target: "/orders?id=1",
    headers: new HeaderList(headers.slice()),
    body: new BytesBody(BODY),
    authority: target.id,
  });
}

/** CPU time of a request, in microseconds. */
async function measure(handler: Handler, headers: readonly string[]): Promise<number> {
  const samples: number[] = [];
  for (let i = 0; i < options.rounds; i++) {
    const requests = Array.from({ length: REQUESTS }, () => createRequest(headers));
    const before = process.cpuUsage();
    for (const x of requests) await handler(x);
    const { user, system } = process.cpuUsage(before);
    samples.push((user + system) / REQUESTS);
  }
  return round(median(samples), 1);
}

async function measureBoth(key: object, record: Omit<SignatureKeyRecord, "id" | "keyId">): Promise<number[]> {
  const known = { id: "bench", keyId: "bench", ...record };
  const consumers = new Consumers([{ name: "bench", roles: [], apiKeys: [], signatureKeys: [known] }]);
  const signing = await buildStage(sign, { keyId: "bench", ...key }, upstream, send);
  const verifying = await buildStage(auth, { methods: ["signature"] }, upstream, () => reply, consumers);
  const signMicros = await measure(signing, ["content-type", "text/plain"]);
  return [signMicros, await measure(verifying, signed)];
}

pinSelf(SUBJECT_CORE);
const measureHmac = (): Promise<number[]> =>
  measureBoth({ hmacSecret: SECRET }, { algorithm: "hmac-sha256", key: SECRET });
await measureHmac(); // compiles what is the same for all
const figures: Record<string, number[]> = { "hmac-sha256": await measureHmac() };
for (const algorithm of KEY_PAIR_ALGORITHMS) {
  const { privateKey, publicKey } = keysOf(algorithm);
  figures[algorithm] = await measureBoth({ algorithm, privateKey }, { algorithm, key: publicKey });
}
console.log(`${options.rounds} rounds of ${REQUESTS}, ${canPin ? "pinned" : "NOT pinned"}\n`);
printTable(
  ["algorithm", "CPU µs to sign", "to verify"],
  Object.entries(figures).map(([name, both]) => [name, ...both.map((value) => value.toFixed(1))]),
);
const [toSign = 0, toVerify = 0] = figures["hmac-sha256"]!;
const verdicts = [
  { what: "an HMAC signed", value: toSign, limit: 40, unit: " µs" },
  { what: "an HMAC verified", value: toVerify, limit: 40, unit: " µs" },
];
conclude("signatures", verdicts, figures, options);
