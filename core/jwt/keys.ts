/** Keys that signatures are checked with, made from what is configured or fetched. The door to jose. */
import { createPublicKey, createSecretKey, type KeyObject } from "node:crypto";
import type { createLocalJWKSet, errors, JWK, JWTVerifyGetKey, jwtVerify } from "jose";
import { ConfigError } from "../errors.ts";

type Jose = {
  readonly createLocalJWKSet: typeof createLocalJWKSet;
  readonly jwtVerify: typeof jwtVerify;
  readonly errors: typeof errors;
};

/** Keys as they are at one time, public or shared. */
export interface KeySet {
  readonly find: KeyObject | JWTVerifyGetKey;
}

interface PublicKeys extends KeySet {
  readonly find: ReturnType<typeof createLocalJWKSet>;
}

/** Keys as options have them: one of `secret`, `publicKey` and `jwks`. */
export interface GivenKeys {
  readonly algorithms: readonly string[];
  readonly secret?: string;
  readonly secretEncoding: "utf8" | "base64";
  readonly publicKey?: string;
  readonly jwks?: object;
}

/** What the signature and the claims of a token are held against. */
export type Expected = Parameters<typeof jwtVerify>[2];

const MOST_KEYS = 100;
const LEAST_RSA_BYTES = 256;
/** Shorter secrets are weaker than the algorithm (RFC 7518 section 3.2). */
const LEAST_SECRET_BYTES: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };

/** Why a token does not count: for good as long as the keys are the same, for now, or for want of its key. */
export type Refusal = "forever" | "now" | "no key";

/** Loaded when a configuration has tokens. */
export async function loadJose(): Promise<TokenKeys> {
  return new TokenKeys(await import("jose"));
}

export class TokenKeys {
  readonly #jose: Jose;

  constructor(jose: Jose) {
    this.#jose = jose;
  }

  /** Gives the claims of a token that is right, or why it is not. */
  async verify(
    token: string,
    { find }: KeySet,
    expected: Expected,
  ): Promise<Record<string, unknown> | Refusal> {
    const { jwtVerify, errors } = this.#jose;
    try {
      // One is called for the key, the other is the key.
      const { payload } = await (typeof find === "function"
        ? jwtVerify(token, find, expected)
        : jwtVerify(token, find, expected));
      return payload;
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error;
      if (error instanceof errors.JWKSNoMatchingKey) return "no key";
      const isOfTime =
        error instanceof errors.JWTClaimValidationFailed && ["nbf", "iat"].includes(error.claim);
      return isOfTime ? "now" : "forever";
    }
  }

  /**
   * Keys of a JWK Set. Those that cannot be used are left out.
   * @throws Error when none is left
   */
  parseSet(text: string): PublicKeys {
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch {
      throw new Error("it is not JSON"); // without an excerpt: who knows what it is
    }
    const keys = (document as { keys?: unknown } | null)?.keys;
    if (!Array.isArray(keys)) throw new Error("it is not a JWK Set: it has no list `keys`");
    if (keys.length > MOST_KEYS) throw new Error(`it has more than ${MOST_KEYS} keys`);
    const usable = keys.filter(isUsable);
    if (usable.length === 0) throw new Error("it has no public key that can be used");
    return { find: this.#jose.createLocalJWKSet({ keys: usable }) };
  }

  /**
   * Keys of an issuer that are in its options.
   * @throws ConfigError at `pointer`
   */
  async ofOptions(options: GivenKeys, pointer: string): Promise<KeySet> {
    const { secret, secretEncoding, publicKey, jwks, algorithms } = options;
    if (secret !== undefined) return { find: readSecret(secret, secretEncoding, algorithms, pointer) };
    if (publicKey !== undefined) {
      const key = readPublicKey(publicKey, `${pointer}/publicKey`);
      const { find } = this.parseSet(JSON.stringify({ keys: [key] }));
      await this.#checkFit(find, algorithms, pointer);
      return { find: ({ alg }, token) => find({ alg }, token) }; // whatever its `kid`: there is only one key
    }
    let set: PublicKeys;
    try {
      set = this.parseSet(JSON.stringify(jwks));
    } catch (error) {
      throw new ConfigError(
        `This cannot be used: ${(error as Error).message}`,
        `${pointer}/jwks`,
        "CONFIG_VALUE",
      );
    }
    await this.#checkFit(set.find, algorithms, pointer);
    return set;
  }

  /** Each algorithm needs a key that fits it. */
  async #checkFit(find: PublicKeys["find"], algorithms: readonly string[], pointer: string): Promise<void> {
    for (const [i, alg] of algorithms.entries()) {
      const problem: unknown = await find({ alg }).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (problem === undefined || problem instanceof this.#jose.errors.JWKSMultipleMatchingKeys) continue;
      throw new ConfigError(`There is no key for ${alg}`, `${pointer}/algorithms/${i}`, "CONFIG_VALUE");
    }
  }
}

/** A public key that Node can read, and that is not too weak. */
function isUsable(key: unknown): key is JWK {
  if (typeof key !== "object" || key === null || "d" in key) return false;
  const { kty, n } = key as JWK;
  if (kty === "RSA" && Buffer.from(String(n), "base64url").length < LEAST_RSA_BYTES) return false;
  try {
    createPublicKey({ key, format: "jwk" });
    return true;
  } catch {
    return false;
  }
}

function readSecret(
  secret: string,
  encoding: "utf8" | "base64",
  algorithms: readonly string[],
  pointer: string,
): KeyObject {
  const bytes = Buffer.from(secret, encoding);
  if (encoding === "base64" && !/^[\w+/-]+={0,2}$/.test(secret)) {
    throw new ConfigError("This is not base64", `${pointer}/secret`, "CONFIG_VALUE");
  }
  for (const alg of algorithms) {
    const least = LEAST_SECRET_BYTES[alg]!;
    if (bytes.length >= least) continue;
    throw new ConfigError(
      `A secret for ${alg} has at least ${least} bytes`,
      `${pointer}/secret`,
      "CONFIG_VALUE",
    );
  }
  return createSecretKey(bytes);
}

function readPublicKey(pem: string, pointer: string): JWK {
  const refuse = (why: string): ConfigError => new ConfigError(why, pointer, "CONFIG_VALUE");
  if (pem.includes("PRIVATE KEY"))
    throw refuse("This is a private key: the gateway needs the public one only");
  let jwk: JWK;
  try {
    jwk = createPublicKey(pem).export({ format: "jwk" });
  } catch {
    throw refuse("This is not a public key or certificate in PEM");
  }
  if (!isUsable(jwk)) throw refuse("This key is too weak: RSA keys have at least 2048 bits");
  return jwk;
}
