/** Who is known to the gateway, found by what they show. */
import { hash, type KeyObject } from "node:crypto";
import type { Consumer } from "./exchange.ts";
import { readPublicKey, readSecret, type SignatureAlgorithm } from "./http-signatures/algorithms.ts";
import { parsePasswordHash, type PasswordHash } from "./password-hash.ts";

interface CredentialRecord {
  /** Tells it from other credentials of the consumer. */
  readonly id: string;
  /** Milliseconds since the Unix epoch from when on it is not valid. */
  readonly expiresAt?: number;
  readonly roles?: readonly string[];
  readonly tier?: string;
}

/** A key as the configuration has it once it is checked. */
export interface ApiKeyRecord extends CredentialRecord {
  /** Digest of the key, in hexadecimal. */
  readonly sha256: string;
}

/** A password as the configuration has it once it is checked. */
export interface PasswordRecord extends CredentialRecord {
  readonly username: string;
  /** As {@link parsePasswordHash} reads it. */
  readonly passwordHash: string;
}

/** A key of which there is a hash as of a password, as the configuration has it once it is checked. */
export interface HashedKeyRecord extends CredentialRecord {
  /** What the key begins with. */
  readonly prefix: string;
  /** As {@link parsePasswordHash} reads it. */
  readonly keyHash: string;
}

/** What a client certificate is known by, as the configuration has it once it is checked. */
export interface CertificateRecord extends CredentialRecord {
  /** `sha256:` and digits, `dns:`, `uri:` or `email:` and a name, or `subject:` and a distinguished name (RFC 2253). */
  readonly certificate: string;
}

/** A key that proves signatures of requests, as the configuration has it once it is checked. */
export interface SignatureKeyRecord extends CredentialRecord {
  readonly keyId: string;
  readonly algorithm: SignatureAlgorithm;
  /** For `hmac-sha256` a secret in base64, for the others a public key in PEM. */
  readonly key: string;
}

/** A consumer as the configuration has it once it is checked: plain data. Its only secrets are those of HMACs. */
export interface ConsumerRecord {
  readonly name: string;
  readonly roles: readonly string[];
  readonly tier?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
  readonly apiKeys: readonly ApiKeyRecord[];
  readonly hashedKeys?: readonly HashedKeyRecord[];
  readonly passwords?: readonly PasswordRecord[];
  readonly certificates?: readonly CertificateRecord[];
  readonly signatureKeys?: readonly SignatureKeyRecord[];
}

interface Entry {
  readonly consumer: Consumer;
  readonly expiresAt: number;
}

/** Somebody who has a password, or a key of which there is a hash as of a password. */
export interface User extends Entry {
  readonly passwordHash: PasswordHash;
}

/** A key, and on whose behalf it signs. */
export interface SignatureKey extends Entry {
  readonly algorithm: SignatureAlgorithm;
  readonly key: KeyObject;
}

/** All that are known, however they came to be (docs/decisions/021). */
export class Consumers {
  readonly #byName = new Map<string, Consumer>();
  readonly #byKey = new Map<string, Entry>();
  readonly #users = new Map<string, User>();
  readonly #byPrefix = new Map<string, User>();
  /** The longest first. */
  readonly #prefixChars: readonly number[];
  readonly #byCertificate = new Map<string, Entry>();
  readonly #signatureKeys = new Map<string, SignatureKey>();

  constructor(records: readonly ConsumerRecord[]) {
    for (const { name, roles, tier, claims, apiKeys, signatureKeys = [], ...more } of records) {
      const { hashedKeys = [], passwords = [], certificates = [] } = more;
      const whole = { name, roles, ...(tier === undefined ? {} : { tier }), ...(claims && { claims }) };
      this.#byName.set(name, whole);
      for (const key of apiKeys) this.#byKey.set(key.sha256, entryOf(whole, key));
      for (const key of hashedKeys) this.#byPrefix.set(key.prefix, userOf(whole, key, key.keyHash));
      for (const password of passwords) {
        this.#users.set(password.username, userOf(whole, password, password.passwordHash));
      }
      for (const record of certificates) this.#byCertificate.set(record.certificate, entryOf(whole, record));
      for (const record of signatureKeys) {
        const { keyId, algorithm } = record;
        const key =
          algorithm === "hmac-sha256" ? readSecret(record.key) : readPublicKey(algorithm, record.key);
        this.#signatureKeys.set(keyId, { ...entryOf(whole, record), algorithm, key });
      }
    }
    const lengths = [...this.#byPrefix.keys()].map(({ length }) => length);
    this.#prefixChars = [...new Set(lengths)].sort((a, b) => b - a);
  }

  /** A consumer by its name. */
  get(name: string): Consumer | undefined {
    return this.#byName.get(name);
  }

  /**
   * Whose key it is. Found by its digest: how long that takes says nothing of the keys there are.
   * @param nowMs milliseconds since the Unix epoch
   */
  ofApiKey(key: string, nowMs: number): Consumer | undefined {
    const entry = this.#byKey.get(hash("sha256", key, "hex"));
    return entry !== undefined && nowMs < entry.expiresAt ? entry.consumer : undefined;
  }

  /** Whose key it may be, by what it begins with, whether it is still valid or not. */
  ofKeyPrefix(key: string): User | undefined {
    for (const chars of this.#prefixChars) {
      const user = this.#byPrefix.get(key.slice(0, chars));
      if (user !== undefined) return user;
    }
    return undefined;
  }

  /**
   * Whose certificate it is; nobody's where its names belong to more than one.
   * @param names as {@link CertificateRecord} has them; the credential of the first that is known counts
   * @param nowMs milliseconds since the Unix epoch
   */
  ofCertificate(names: readonly string[], nowMs: number): Consumer | undefined {
    let found: Entry | undefined;
    for (const name of names) {
      const entry = this.#byCertificate.get(name);
      found ??= entry;
      if (entry !== undefined && entry.consumer.name !== found?.consumer.name) return undefined;
    }
    return found !== undefined && nowMs < found.expiresAt ? found.consumer : undefined;
  }

  /** Who has a password under this name, whether it is still valid or not. */
  user(username: string): User | undefined {
    return this.#users.get(username);
  }

  /**
   * The key of an id, and whose it is.
   * @param nowMs milliseconds since the Unix epoch
   */
  ofSignatureKey(keyId: string, nowMs: number): SignatureKey | undefined {
    const entry = this.#signatureKeys.get(keyId);
    return entry !== undefined && nowMs < entry.expiresAt ? entry : undefined;
  }

  /** Anybody who has a password. */
  anyUser(): User | undefined {
    return this.#users.values().next().value;
  }
}

function userOf(whole: Consumer, record: CredentialRecord, text: string): User {
  const passwordHash = parsePasswordHash(text);
  if (passwordHash === undefined) throw new TypeError("not the hash of a password");
  return { ...entryOf(whole, record), passwordHash };
}

function entryOf(whole: Consumer, { id, roles, tier, expiresAt }: CredentialRecord): Entry {
  const own = { credential: id, ...(roles && { roles }), ...(tier === undefined ? {} : { tier }) };
  return { consumer: { ...whole, ...own }, expiresAt: expiresAt ?? Number.POSITIVE_INFINITY };
}
