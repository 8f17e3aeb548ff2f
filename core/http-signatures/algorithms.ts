/** The algorithms of HTTP signatures (RFC 9421 section 3.3), and the keys that go with them. */
import {
  constants,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
  sign,
  type SignKeyObjectInput,
  timingSafeEqual,
  verify,
} from "node:crypto";

/** Algorithms with a private and a public key. */
export const KEY_PAIR_ALGORITHMS = [
  "ed25519",
  "ecdsa-p256-sha256",
  "ecdsa-p384-sha384",
  "rsa-pss-sha512",
  "rsa-v1_5-sha256",
] as const;

export type KeyPairAlgorithm = (typeof KEY_PAIR_ALGORITHMS)[number];
export type SignatureAlgorithm = KeyPairAlgorithm | "hmac-sha256";

interface Scheme {
  readonly hash: string | null;
  readonly how: Omit<SignKeyObjectInput, "key">;
  /** What its keys are, for people. */
  readonly keys: string;
  accepts(key: KeyObject): boolean;
}

const LEAST_RSA_BITS = 2048;
/** Of `rsa-pss-sha512`; keys may say that it must be more. */
const SALT_BYTES = 64;
const LEAST_SECRET_BYTES = 32;

const ecdsa = (hash: string, curve: string, keys: string): Scheme => ({
  hash,
  how: { dsaEncoding: "ieee-p1363" },
  keys,
  accepts: (key) => key.asymmetricKeyType === "ec" && key.asymmetricKeyDetails?.namedCurve === curve,
});

const isLong = (key: KeyObject): boolean => (key.asymmetricKeyDetails?.modulusLength ?? 0) >= LEAST_RSA_BITS;

const SCHEMES: Record<KeyPairAlgorithm, Scheme> = {
  ed25519: {
    hash: null,
    how: {},
    keys: "an Ed25519 key",
    accepts: (key) => key.asymmetricKeyType === "ed25519",
  },
  "ecdsa-p256-sha256": ecdsa("sha256", "prime256v1", "a key on the curve P-256"),
  "ecdsa-p384-sha384": ecdsa("sha384", "secp384r1", "a key on the curve P-384"),
  "rsa-pss-sha512": {
    hash: "sha512",
    how: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: SALT_BYTES },
    keys: `an RSA key of at least ${LEAST_RSA_BITS} bits`,
    accepts: (key) => (key.asymmetricKeyType === "rsa" || isForPss(key)) && isLong(key),
  },
  "rsa-v1_5-sha256": {
    hash: "sha256",
    how: { padding: constants.RSA_PKCS1_PADDING },
    keys: `an RSA key of at least ${LEAST_RSA_BITS} bits`,
    accepts: (key) => key.asymmetricKeyType === "rsa" && isLong(key),
  },
};

/** An RSA key that says itself how it may be used, and that is what the algorithm does. */
function isForPss({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): boolean {
  if (asymmetricKeyType !== "rsa-pss") return false;
  const { hashAlgorithm = "sha512", mgf1HashAlgorithm = "sha512", saltLength = SALT_BYTES } = details ?? {};
  return hashAlgorithm === "sha512" && mgf1HashAlgorithm === "sha512" && saltLength <= SALT_BYTES;
}

export function signBase(algorithm: SignatureAlgorithm, key: KeyObject, base: string): Buffer {
  if (algorithm === "hmac-sha256") return createHmac("sha256", key).update(base, "ascii").digest();
  const { hash, how } = SCHEMES[algorithm];
  return sign(hash, Buffer.from(base, "ascii"), { key, ...how });
}

export function verifyBase(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
  base: string,
  signature: Buffer,
): boolean {
  if (algorithm === "hmac-sha256") return isSame(signBase(algorithm, key, base), signature);
  const { hash, how } = SCHEMES[algorithm];
  return verify(hash, Buffer.from(base, "ascii"), { key, ...how }, signature);
}

/** Whether bytes are the same; how long it takes says nothing of where they differ. */
export function isSame(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/**
 * A secret for `hmac-sha256`.
 * @throws Error that says what it must be
 */
export function readSecret(base64: string): KeyObject {
  const bytes = Buffer.from(base64, "base64");
  if (bytes.toString("base64") !== base64 || bytes.length < LEAST_SECRET_BYTES) {
    throw new Error(
      `Must be base64 of at least ${LEAST_SECRET_BYTES} bytes, as openssl rand -base64 32 makes it`,
    );
  }
  return createSecretKey(bytes);
}

/**
 * A public key that an algorithm can use.
 * @param pem SubjectPublicKeyInfo
 * @throws Error that says what it must be
 */
export function readPublicKey(algorithm: KeyPairAlgorithm, pem: string): KeyObject {
  // Of a private key Node would make the public one, and nobody would hear that it lies about.
  if (pem.includes("PRIVATE KEY")) throw new Error("This is a private key, which only its owner may have");
  return accepted(algorithm, "public", () => createPublicKey(pem));
}

/**
 * A private key that an algorithm can use.
 * @param pem PKCS #8, not encrypted
 * @throws Error that says what it must be
 */
export function readPrivateKey(algorithm: KeyPairAlgorithm, pem: string): KeyObject {
  return accepted(algorithm, "private", () => createPrivateKey(pem));
}

function accepted(algorithm: KeyPairAlgorithm, half: "public" | "private", read: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch {
    throw new Error(`This is no ${half} key in PEM`);
  }
  const { keys, accepts } = SCHEMES[algorithm];
  if (!accepts(key)) throw new Error(`${algorithm} needs ${keys}`);
  return key;
}
