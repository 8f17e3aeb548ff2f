/**
 * Finds out whose token it is. What was found is remembered under the token's digest, as long as neither its time nor its
 * keys have changed; it outlives a swap that leaves the issuers as they are.
 */
import { hash } from "node:crypto";
import type { Clock, Consumer } from "../../../core/plugin.ts";
import { readConsumer } from "../../../core/naming.ts";
import { Recent } from "../../../core/recent.ts";
import type { Issuer } from "./issuer.ts";
import { judgeByKeys } from "../../../core/jwt/key-source.ts";
import type { KeySet, TokenKeys } from "../../../core/jwt/keys.ts";
import { parseHead } from "./token.ts";

/** Longer ones are not looked at. */
const MOST_CHARS = 16 * 1024;
const MOST_ACCEPTED = 20_000;
const MOST_ACCEPTED_BYTES = 16 * 1024 ** 2;
const MOST_REFUSED = 20_000;
/** How long a wrong token is remembered. Not for good: the clock by which it had expired may have been wrong. */
const REFUSED_MS = 60_000;
/** Tokens that are looked at at once. Looking at one takes a tenth of a millisecond, and whoever likes can ask for it. */
const MOST_PENDING = 1000;

/** A token that was right. */
export interface Accepted {
  readonly issuer: Issuer;
  readonly keys: KeySet;
  /** Milliseconds since the Unix epoch from when on it is not valid any more. */
  readonly endsAt: number;
  readonly consumer: Consumer;
  readonly bytes: number;
}

/** A token that will not be right while the keys of its issuer are the same. */
interface Refused {
  readonly issuer: Issuer;
  readonly keys: KeySet;
  /** Milliseconds of the monotonic clock. */
  readonly until: number;
}

export type Verdict = Accepted | "invalid" | "unavailable";

export class Verifier {
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #tokenKeys: TokenKeys;
  readonly #clock: Clock;
  readonly #accepted = new Recent<Accepted>(MOST_ACCEPTED, MOST_ACCEPTED_BYTES, ({ bytes }) => bytes);
  /** Apart from the others, which wrong tokens must not push out. */
  readonly #refused = new Recent<Refused>(MOST_REFUSED, Number.POSITIVE_INFINITY, () => 0);
  readonly #pending = new Map<string, Promise<Verdict>>();

  constructor(issuers: readonly Issuer[], tokenKeys: TokenKeys, clock: Clock) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.options.issuer, issuer]));
    this.#tokenKeys = tokenKeys;
    this.#clock = clock;
  }

  /** @throws Error when a key cannot be used, which is nobody's fault but its issuer's */
  verify(token: string): Verdict | Promise<Verdict> {
    if (token.length > MOST_CHARS) return "invalid";
    const digest = hash("sha256", token, "base64url");
    const accepted = this.#accepted.get(digest);
    if (accepted !== undefined && isCurrent(accepted) && this.#clock.now() < accepted.endsAt) return accepted;
    const refused = this.#refused.get(digest);
    if (refused !== undefined && isCurrent(refused) && this.#clock.monotonic() < refused.until)
      return "invalid";
    return this.#pending.get(digest) ?? this.#begin(token, digest);
  }

  #begin(token: string, digest: string): Verdict | Promise<Verdict> {
    const head = parseHead(token);
    const issuer = head && this.#issuers.get(head.issuer);
    if (issuer === undefined || !issuer.algorithms.includes(head!.alg)) return "invalid";
    if (this.#pending.size >= MOST_PENDING) return "unavailable";
    const verdict = this.#look(token, digest, issuer).finally(() => this.#pending.delete(digest));
    this.#pending.set(digest, verdict);
    return verdict;
  }

  #look(token: string, digest: string, issuer: Issuer): Promise<Verdict> {
    return judgeByKeys(issuer.keys, (keys) => this.#judge(token, digest, issuer, keys));
  }

  async #judge(token: string, digest: string, issuer: Issuer, keys: KeySet): Promise<Verdict | "no key"> {
    const currentDate = new Date(this.#clock.now());
    const result = await this.#tokenKeys.verify(token, keys, { ...issuer.expected, currentDate });
    if (result === "no key") return result;
    const consumer = typeof result === "string" ? undefined : readConsumer(result, issuer.options, digest);
    if (consumer === undefined) {
      const until = this.#clock.monotonic() + REFUSED_MS;
      if (result !== "now") this.#refused.set(digest, { issuer, keys, until });
      return "invalid";
    }
    const endsAt = endOf(result as Claims, issuer);
    // What its claims take once they are parsed is about what the token takes as text.
    const accepted: Accepted = { issuer, keys, endsAt, consumer, bytes: 2 * token.length + 500 };
    this.#accepted.set(digest, accepted);
    return accepted;
  }
}

type Claims = Readonly<Record<string, unknown>>;

function isCurrent({ issuer, keys }: Pick<Accepted, "issuer" | "keys">): boolean {
  return issuer.keys.current() === keys;
}

/** When a token is not valid any more, in milliseconds since the Unix epoch. */
function endOf({ exp, iat }: Claims, { skewMs, maxAgeMs }: Issuer): number {
  const expiry = typeof exp === "number" ? exp * 1000 : Number.POSITIVE_INFINITY;
  const oldAge = typeof iat === "number" ? iat * 1000 + maxAgeMs : Number.POSITIVE_INFINITY;
  return Math.min(expiry, oldAge) + skewMs;
}
