/**
 * What one login leads to: a chain of refresh tokens, of which the last one counts. Each is used once, and the use
 * gives the next one. Who shows one that was used before has a copy, or somebody else has: nobody can tell, so the
 * whole family ends (RFC 9700 section 4.14.2).
 *
 * Only digests of tokens are here. The next token is made from the one that is shown and a number: a client that asks
 * twice, because the first answer was lost, gets the same one, and who can read the store can make none.
 */
import { createHmac, hash } from "node:crypto";

/** As it is stored: plain data. */
export interface Family {
  readonly username: string;
  /** Changes with the user's password. */
  readonly proof: string;
  /** Milliseconds since the Unix epoch, as all times here. */
  readonly startedAt: number;
  readonly usedAt: number;
  /** Digest of the token that counts. */
  readonly current: string;
  /** The one before it. */
  readonly previous?: { readonly digest: string; readonly nonce: string };
}

export interface FamilyRules {
  /** How long a token can be used. */
  readonly idleMs: number;
  /** How long all tokens of a family can be used. */
  readonly lifetimeMs: number;
  /** How long after its use a token gives the same next one again. */
  readonly graceMs: number;
}

export type Rotation =
  | { readonly outcome: "rotated"; readonly secret: Buffer; readonly family: Family }
  | { readonly outcome: "repeated"; readonly secret: Buffer }
  | { readonly outcome: "expired" }
  | { readonly outcome: "reused" };

export const digestOf = (secret: Buffer): string => hash("sha256", secret, "base64url");

/**
 * What comes of a token that is shown.
 * @param nonce made by chance
 */
export function rotate(
  family: Family,
  secret: Buffer,
  now: number,
  { lifetimeMs, idleMs, graceMs }: FamilyRules,
  nonce: string,
): Rotation {
  const { startedAt, usedAt, current, previous } = family;
  if (now >= startedAt + lifetimeMs || now >= usedAt + idleMs) return { outcome: "expired" };
  const digest = digestOf(secret);
  if (digest === current) {
    const next = nextOf(secret, nonce);
    const successor = { ...family, usedAt: now, current: digestOf(next), previous: { digest, nonce } };
    return { outcome: "rotated", secret: next, family: successor };
  }
  if (digest !== previous?.digest || now >= usedAt + graceMs) return { outcome: "reused" };
  return { outcome: "repeated", secret: nextOf(secret, previous.nonce) };
}

/** How long a family is worth keeping. */
export function timeLeft({ startedAt }: Family, now: number, { lifetimeMs, idleMs }: FamilyRules): number {
  return Math.max(1, Math.ceil(Math.min(idleMs, startedAt + lifetimeMs - now)));
}

function nextOf(secret: Buffer, nonce: string): Buffer {
  return createHmac("sha256", secret).update(nonce).digest();
}
