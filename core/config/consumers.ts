/** Checks consumers. What is kept of an API key is its digest, so that nothing beyond here knows the key. */
import { createHash } from "node:crypto";
import { childPointer } from "../pointer.ts";
import type {
  ApiKeyRecord,
  CertificateRecord,
  ConsumerRecord,
  HashedKeyRecord,
  PasswordRecord,
  SignatureKeyRecord,
} from "../consumers.ts";
import { KEY_PAIR_ALGORITHMS, readPublicKey, readSecret } from "../http-signatures/algorithms.ts";
import { parsePasswordHash } from "../password-hash.ts";
import { asList, asRecord, type Checking } from "./checking.ts";

/** Digits of a digest that stand for a credential without an id. */
const ID_DIGITS = 12;

/** What is told apart from others of its kind, by what it is told apart by: where it was first. */
type Places = Map<string, string>;

type CredentialRecord =
  | ApiKeyRecord
  | CertificateRecord
  | HashedKeyRecord
  | PasswordRecord
  | SignatureKeyRecord;

/** What is unique among all consumers. */
interface Taken {
  readonly keys: Places;
  readonly prefixes: Places;
  readonly certificates: Places;
  readonly usernames: Places;
  readonly keyIds: Places;
}

/** @returns the consumers, as far as they can be read */
export function checkConsumers(checking: Checking, config: Record<string, unknown>): ConsumerRecord[] {
  const names: Places = new Map();
  const taken: Taken = {
    keys: new Map(),
    prefixes: new Map(),
    certificates: new Map(),
    usernames: new Map(),
    keyIds: new Map(),
  };
  return asList(config["consumers"]).map((value, i) => {
    const consumer = asRecord(value);
    const pointer = childPointer("/consumers", i);
    const { name, roles, tier, claims, credentials } = consumer;
    if (typeof name === "string") {
      reportTwice(checking, names, name, "This consumer is there already", `${pointer}/name`);
    }
    const ids: Places = new Map();
    const checked = asList(credentials).flatMap((credential, at) =>
      checkCredential(checking, asRecord(credential), `${pointer}/credentials/${at}`, taken, ids),
    );
    const hashedKeys = checked.filter((each) => "keyHash" in each);
    const certificates = checked.filter((each) => "certificate" in each);
    const signatureKeys = checked.filter((each) => "keyId" in each);
    return {
      name: String(name),
      roles: asList(roles).map(String),
      ...(typeof tier === "string" ? { tier } : {}),
      ...(claims === undefined ? {} : { claims: asRecord(claims) }),
      apiKeys: checked.filter((each) => "sha256" in each),
      passwords: checked.filter((each) => "username" in each),
      ...(hashedKeys.length > 0 && { hashedKeys }),
      ...(certificates.length > 0 && { certificates }),
      ...(signatureKeys.length > 0 && { signatureKeys }),
    };
  });
}

function checkCredential(
  checking: Checking,
  credential: Record<string, unknown>,
  pointer: string,
  taken: Taken,
  ids: Places,
): CredentialRecord[] {
  const { expires, roles, tier } = credential;
  const own = checkOf(credential)(checking, credential, pointer, taken);
  if (own === undefined) return [];
  const id = String(credential["id"] ?? own.id);
  reportTwice(checking, ids, id, "The consumer has a credential of this id already", `${pointer}/id`);
  const expiresAt = typeof expires === "string" ? parseTime(expires) : undefined;
  if (Number.isNaN(expiresAt)) checking.report("CONFIG_VALUE", "There is no such time", `${pointer}/expires`);
  return [
    {
      ...own,
      id,
      ...(expiresAt === undefined ? {} : { expiresAt }),
      ...(roles === undefined ? {} : { roles: asList(roles).map(String) }),
      ...(typeof tier === "string" ? { tier } : {}),
    },
  ];
}

function checkOf(credential: Record<string, unknown>) {
  if ("username" in credential) return checkPassword;
  if ("keyId" in credential) return checkSignatureKey;
  if ("apiKeyPrefix" in credential) return checkHashedKey;
  return CERTIFICATE_KEYS.some((key) => key in credential) ? checkCertificate : checkKey;
}

function checkKey(
  checking: Checking,
  { apiKey, apiKeySha256 }: Record<string, unknown>,
  pointer: string,
  { keys }: Taken,
): ApiKeyRecord | undefined {
  const [sha256, at] =
    typeof apiKey === "string" ? [digestOf(apiKey), "apiKey"] : [apiKeySha256, "apiKeySha256"];
  if (typeof sha256 !== "string") return undefined; // reported by the schema
  reportTwice(checking, keys, sha256, "This key is there already", `${pointer}/${at}`);
  return { id: sha256.slice(0, ID_DIGITS), sha256 };
}

function checkPassword(
  checking: Checking,
  { username, passwordHash }: Record<string, unknown>,
  pointer: string,
  { usernames }: Taken,
): PasswordRecord | undefined {
  if (typeof username !== "string" || typeof passwordHash !== "string") return undefined;
  const name = username.normalize("NFC");
  reportTwice(checking, usernames, name, "This name is there already", `${pointer}/username`);
  if (!checkHash(checking, passwordHash, `${pointer}/passwordHash`)) return undefined;
  return { id: name, username: name, passwordHash };
}

function checkHashedKey(
  checking: Checking,
  { apiKeyPrefix: prefix, apiKeyScrypt: keyHash }: Record<string, unknown>,
  pointer: string,
  { prefixes }: Taken,
): HashedKeyRecord | undefined {
  if (typeof prefix !== "string" || typeof keyHash !== "string") return undefined;
  reportTwice(checking, prefixes, prefix, "This prefix is there already", `${pointer}/apiKeyPrefix`);
  if (!checkHash(checking, keyHash, `${pointer}/apiKeyScrypt`)) return undefined;
  return { id: prefix, prefix, keyHash };
}

function checkHash(checking: Checking, text: string, pointer: string): boolean {
  const isHash = parsePasswordHash(text) !== undefined;
  const why = "This is no hash by scrypt, or one that takes less than 16 MB or more than 128 MB to make";
  if (!isHash) checking.report("CONFIG_VALUE", why, pointer);
  return isHash;
}

const CERTIFICATE_KEYS = ["certificateSubject", "certificateSan", "certificateSha256"] as const;

function checkCertificate(
  checking: Checking,
  credential: Record<string, unknown>,
  pointer: string,
  { certificates }: Taken,
): CertificateRecord | undefined {
  const key = CERTIFICATE_KEYS.find((each) => typeof credential[each] === "string");
  if (key === undefined) return undefined; // reported by the schema
  const text = String(credential[key]);
  const certificate = {
    certificateSubject: `subject:${text}`,
    certificateSan: text.startsWith("dns:") ? text.toLowerCase() : text,
    certificateSha256: `sha256:${text.replaceAll(":", "").toLowerCase()}`,
  }[key];
  reportTwice(checking, certificates, certificate, "This certificate is there already", `${pointer}/${key}`);
  return { id: key === "certificateSha256" ? certificate.slice(7, 7 + ID_DIGITS) : text, certificate };
}

function checkSignatureKey(
  checking: Checking,
  { keyId, hmacSecret, publicKey, algorithm }: Record<string, unknown>,
  pointer: string,
  { keyIds }: Taken,
): SignatureKeyRecord | undefined {
  if (typeof keyId !== "string") return undefined; // reported by the schema
  reportTwice(checking, keyIds, keyId, "This key id is there already", `${pointer}/keyId`);
  const pair = KEY_PAIR_ALGORITHMS.find((each) => each === algorithm);
  try {
    if (typeof hmacSecret === "string") {
      readSecret(hmacSecret);
      return { id: keyId, keyId, algorithm: "hmac-sha256", key: hmacSecret };
    }
    if (typeof publicKey !== "string" || pair === undefined) return undefined;
    readPublicKey(pair, publicKey);
    return { id: keyId, keyId, algorithm: pair, key: publicKey };
  } catch (error) {
    const at = typeof hmacSecret === "string" ? "hmacSecret" : "publicKey";
    checking.report("CONFIG_VALUE", (error as Error).message, `${pointer}/${at}`);
    return undefined;
  }
}

/** Milliseconds since the Unix epoch; NaN for a day that no month has, which `Date` takes for one of the next. */
function parseTime(text: string): number {
  const day = text.slice(0, "2027-01-31".length);
  const dayMs = Date.parse(day);
  const isDay = !Number.isNaN(dayMs) && new Date(dayMs).toISOString().startsWith(day);
  return isDay ? Date.parse(text) : Number.NaN;
}

/** SHA-256 of a key, in hexadecimal. */
function digestOf(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

function reportTwice(
  checking: Checking,
  places: Places,
  what: string,
  message: string,
  pointer: string,
): void {
  const first = places.get(what);
  if (first === undefined) places.set(what, pointer);
  else {
    checking.report(
      "CONFIG_DUPLICATE_NAME",
      `${message}; the first is at ${checking.placeOf(first)}`,
      pointer,
    );
  }
}
