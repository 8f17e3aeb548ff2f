/** The keys of an issuer: one signs, all are published. The door to jose for what makes tokens. */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import type { JWK, SignJWT } from "jose";
import { ConfigError } from "../../core/plugin.ts";

/** Signs access tokens. */
export class TokenKeys {
  /** The JWK Set (RFC 7517) that checks what was signed, as text. */
  readonly jwks: string;
  readonly #key: KeyObject;
  readonly #kid: string;
  readonly #Jwt: typeof SignJWT;

  constructor(key: KeyObject, published: readonly JWK[], Jwt: typeof SignJWT) {
    this.#key = key;
    this.#kid = published[0]!.kid!;
    this.#Jwt = Jwt;
    this.jwks = JSON.stringify({ keys: published });
  }

  /** A token of these claims, said to be an access token (RFC 9068). */
  sign(claims: Readonly<Record<string, unknown>>): Promise<string> {
    const header = { alg: "EdDSA", typ: "at+jwt", kid: this.#kid };
    return new this.#Jwt({ ...claims }).setProtectedHeader(header).sign(this.#key);
  }
}

/**
 * @param key Ed25519, private, in PEM or as a JWK
 * @param previousKeys of others that are published too, either half
 * @throws ConfigError
 */
export async function loadKeys(key: string, previousKeys: readonly string[]): Promise<TokenKeys> {
  const { SignJWT: Jwt, calculateJwkThumbprint } = await import("jose");
  const own = read(key, createPrivateKey, "private", "/key");
  const others = previousKeys.map((each, i) => read(each, createPublicKey, "public", `/previousKeys/${i}`));
  const published: JWK[] = [];
  for (const [i, each] of [
    createPublicKey(own.export({ type: "pkcs8", format: "pem" })),
    ...others,
  ].entries()) {
    const jwk = each.export({ format: "jwk" }) as JWK;
    const kid = await calculateJwkThumbprint(jwk);
    if (published.some((other) => other.kid === kid)) {
      throw new ConfigError("This key is there already", `/previousKeys/${i - 1}`, "CONFIG_DUPLICATE_NAME");
    }
    published.push({ ...jwk, kid, use: "sig", alg: "EdDSA" });
  }
  return new TokenKeys(own, published, Jwt);
}

type Create = (source: string | { key: JWK; format: "jwk" }) => KeyObject;

function read(text: string, create: Create, half: "private" | "public", pointer: string): KeyObject {
  let key: KeyObject | undefined;
  try {
    key = create(text.trimStart().startsWith("{") ? { key: JSON.parse(text) as JWK, format: "jwk" } : text);
  } catch {
    // What was wrong with it may have a part of it.
  }
  if (key?.asymmetricKeyType === "ed25519") return key;
  const why = `This is no ${half} Ed25519 key, in PEM or as a JWK`;
  throw new ConfigError(why, pointer, "CONFIG_VALUE");
}
