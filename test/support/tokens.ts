/** JSON Web Tokens, right and wrong, signed by hand: no library would sign what tests need. */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

const PSS = { padding: 6, saltLength: -1 } as const; // RSA_PKCS1_PSS_PADDING, as long as the digest

export const encode = (part: string | Buffer | object): string => {
  if (Buffer.isBuffer(part)) return part.toString("base64url");
  return Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");
};

/** The signature of `alg` over a text. */
function signText(alg: string, input: string, key: KeyObject | string | Buffer): string {
  const hash = `sha${alg.slice(2)}`;
  if (alg.startsWith("HS")) return createHmac(hash, key).update(input).digest("base64url");
  const data = Buffer.from(input);
  const own = key as KeyObject;
  if (alg === "EdDSA") return sign(null, data, own).toString("base64url");
  if (alg.startsWith("RS")) return sign(hash, data, own).toString("base64url");
  if (alg.startsWith("PS")) return sign(hash, data, { key: own, ...PSS }).toString("base64url");
  return sign(hash, data, { key: own, dsaEncoding: "ieee-p1363" }).toString("base64url");
}

/** @param signedBy the algorithm that is used, whatever the header says; the header's by default */
export function makeToken(
  header: { alg: string; [name: string]: unknown },
  claims: string | Buffer | object,
  key: KeyObject | string | Buffer,
  signedBy = header.alg,
): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signText(signedBy, input, key)}`;
}

const made = new Map<string, { publicKey: KeyObject; privateKey: KeyObject }>();

/** A key pair for an algorithm, the same each time for the same name. */
export function keyPair(alg: string, name = "") {
  const kind = alg.startsWith("ES") || alg === "EdDSA" ? alg : "RSA";
  const id = `${kind} ${name}`;
  let pair = made.get(id);
  if (pair === undefined) {
    pair = makePair(kind);
    made.set(id, pair);
  }
  return pair;
}

function makePair(kind: string) {
  if (kind === "RSA") return generateKeyPairSync("rsa", { modulusLength: 2048 });
  if (kind === "EdDSA") return generateKeyPairSync("ed25519");
  const namedCurve = { ES256: "P-256", ES384: "P-384", ES512: "P-521" }[kind]!;
  return generateKeyPairSync("ec", { namedCurve });
}

export const pemOf = (key: KeyObject): string => String(key.export({ type: "spki", format: "pem" }));

export const jwkOf = (key: KeyObject, more: object = {}): object => ({
  ...key.export({ format: "jwk" }),
  ...more,
});
