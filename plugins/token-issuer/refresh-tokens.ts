/** Refresh tokens, whose families are in a store: all threads and gateways that have it know them. */
import { hash, randomBytes } from "node:crypto";
import { type Clock, GatewayError, type KeyValueStore } from "../../core/plugin.ts";
import { digestOf, type Family, type FamilyRules, rotate, timeLeft } from "./family.ts";

/** A token is the id of its family and a secret of its own. */
const ID_BYTES = 16;
const SECRET_BYTES = 32;
const IS_TOKEN = /^[\w-]{64}$/;
/** Others that use the same token at the same time; all but one of them find it used. */
const MOST_TRIES = 5;

/** On whose behalf a family is. */
export type Member = Pick<Family, "username" | "proof">;

export type Refreshed =
  | { readonly outcome: "allowed"; readonly username: string; readonly token: string }
  | { readonly outcome: "reused" | "expired" | "outdated"; readonly username: string }
  | { readonly outcome: "unknown" };

interface Parsed {
  readonly id: Buffer;
  readonly secret: Buffer;
}

/** Fails with STORE_UNAVAILABLE when the store cannot be asked. */
export class RefreshTokens {
  readonly #store: KeyValueStore;
  readonly #scope: string;
  readonly #rules: FamilyRules;
  readonly #clock: Clock;

  /** @param scope whose tokens they are: those of another scope are unknown */
  constructor(store: KeyValueStore, scope: string, rules: FamilyRules, clock: Clock) {
    this.#store = store;
    this.#scope = scope;
    this.#rules = rules;
    this.#clock = clock;
  }

  /** Begins a family. Gives its first token. */
  async begin({ username, proof }: Member): Promise<string> {
    const now = this.#clock.now();
    const id = randomBytes(ID_BYTES);
    const secret = randomBytes(SECRET_BYTES);
    const family = { username, proof, startedAt: now, usedAt: now, current: digestOf(secret) };
    const ttlMs = timeLeft(family, now, this.#rules);
    await this.#store.set(this.#keyOf(id), JSON.stringify(family), { ttlMs });
    return write({ id, secret });
  }

  /**
   * Uses a token. A family ends with a token that was used before, and when `isCurrent` says so.
   * @param isCurrent whether the family's user is still who they were
   */
  async refresh(token: string, isCurrent: (member: Member) => boolean): Promise<Refreshed> {
    const parsed = parse(token);
    if (parsed === undefined) return { outcome: "unknown" };
    const { id, secret } = parsed;
    const key = this.#keyOf(id);
    for (let i = 0; i < MOST_TRIES; i++) {
      const text = await this.#store.get(key);
      if (text === undefined) return { outcome: "unknown" };
      const family = JSON.parse(text) as Family;
      const { username } = family;
      const now = this.#clock.now();
      const nonce = randomBytes(ID_BYTES).toString("base64url");
      const rotation = rotate(family, secret, now, this.#rules, nonce);
      if (rotation.outcome === "reused" || rotation.outcome === "expired" || !isCurrent(family)) {
        await this.#store.delete(key);
        return { outcome: "secret" in rotation ? "outdated" : rotation.outcome, username };
      }
      const allowed = {
        outcome: "allowed",
        username,
        token: write({ id, secret: rotation.secret }),
      } as const;
      if (rotation.outcome === "repeated") return allowed;
      const ttlMs = timeLeft(rotation.family, now, this.#rules);
      const isSet = await this.#store.set(key, JSON.stringify(rotation.family), { ifValue: text, ttlMs });
      if (isSet) return allowed;
    }
    throw new GatewayError("STORE_UNAVAILABLE", { headers: ["retry-after", "1"] });
  }

  /** Ends the family of a token, whether it counts or was used before. Gives whose it was. */
  async end(token: string): Promise<string | undefined> {
    const parsed = parse(token);
    if (parsed === undefined) return undefined;
    const key = this.#keyOf(parsed.id);
    const text = await this.#store.get(key);
    if (text === undefined) return undefined;
    await this.#store.delete(key);
    return (JSON.parse(text) as Family).username;
  }

  #keyOf(id: Buffer): string {
    return `refresh ${hash("sha256", `${this.#scope}\n${id.toString("hex")}`, "base64url")}`;
  }
}

function write({ id, secret }: Parsed): string {
  return Buffer.concat([id, secret]).toString("base64url");
}

function parse(token: string): Parsed | undefined {
  if (!IS_TOKEN.test(token)) return undefined;
  const bytes = Buffer.from(token, "base64url");
  return { id: bytes.subarray(0, ID_BYTES), secret: bytes.subarray(ID_BYTES) };
}
