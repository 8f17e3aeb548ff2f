/** The schema of consumers: who may ask, and how they show who they are. */
import { KEY_PAIR_ALGORITHMS } from "../http-signatures/algorithms.ts";
import { text } from "./schema-parts.ts";

/** Shorter keys could be guessed. */
const LEAST_KEY_CHARS = 16;

/** Roles are told to upstreams with commas between them. */
const ROLE = {
  type: "string",
  pattern: "^[\\x21-\\x2b\\x2d-\\x7e]+$",
  "x-expected": "a role without blanks and commas",
} as const;

const roles = <const X extends string>(description: X) =>
  ({ type: "array", items: ROLE, uniqueItems: true, description }) as const;

const ofCredential = {
  id: text(
    "What logs call the credential; by default the beginning of its digest, its prefix, the user's name, the key id, or the name in the certificate.",
  ),
  expires: {
    type: "string",
    pattern: "^\\d{4}-\\d\\d-\\d\\d(T\\d\\d:\\d\\d(:\\d\\d)?(Z|[+-]\\d\\d:\\d\\d))?$",
    "x-expected": "a day such as 2027-01-31, or a time such as 2027-01-31T12:00Z",
    description: "When it ends to be valid: a day (UTC) or a time.",
  },
  roles: roles("Roles of requests with this credential, instead of the consumer's."),
  tier: text("Tier of requests with this credential, instead of the consumer's."),
} as const;

export const apiKeySchema = {
  type: "object",
  description: "A key that is sent with each request.",
  properties: {
    apiKey: {
      type: "string",
      minLength: LEAST_KEY_CHARS,
      writeOnly: true,
      description: "The key itself, best as `${file:…}` or `${env:…}`; only its digest is kept.",
    },
    ...ofCredential,
  },
  required: ["apiKey"],
  additionalProperties: false,
} as const;

export const apiKeyDigestSchema = {
  type: "object",
  description: "A key of which only the digest is known here.",
  properties: {
    apiKeySha256: {
      type: "string",
      pattern: "^[0-9a-f]{64}$",
      "x-expected": "the SHA-256 of the key, as 64 digits 0-9 and a-f",
      description: "SHA-256 of the key: `printf %s KEY | sha256sum`.",
    },
    ...ofCredential,
  },
  required: ["apiKeySha256"],
  additionalProperties: false,
} as const;

const scryptHash = <const X extends string>(description: X) =>
  ({
    type: "string",
    pattern: "^\\$scrypt\\$",
    "x-expected": "a hash that `sluice hash-password` makes",
    writeOnly: true,
    description,
  }) as const;

export const hashedKeySchema = {
  type: "object",
  description: "A key that people could guess: only what it begins with and a dear hash are known here.",
  properties: {
    apiKeyPrefix: {
      type: "string",
      pattern: "^[\\x21-\\x7e]+$",
      minLength: 4,
      maxLength: 64,
      "x-expected": "a text without blanks",
      description: "What the key begins with, which is no secret: the hash is found by it. Unique.",
    },
    apiKeyScrypt: scryptHash("Hash of the whole key by scrypt: `sluice hash-password`."),
    ...ofCredential,
  },
  required: ["apiKeyPrefix", "apiKeyScrypt"],
  additionalProperties: false,
} as const;

export const passwordSchema = {
  type: "object",
  description: "A name and a password, of which only a hash is known here.",
  properties: {
    username: {
      type: "string",
      pattern: "^[^:\\x00-\\x1f\\x7f]+$",
      maxLength: 200,
      "x-expected": "a name without colons",
      description: "Name that goes with the password; unique.",
    },
    passwordHash: scryptHash("Hash of the password by scrypt: `sluice hash-password`."),
    ...ofCredential,
  },
  required: ["username", "passwordHash"],
  additionalProperties: false,
} as const;

const keyId = {
  type: "string",
  pattern: "^[\\x21-\\x7e]+$",
  maxLength: 200,
  "x-expected": "a key id without blanks",
  description: "What signatures name the key by; unique among all consumers.",
} as const;

export const hmacSecretSchema = {
  type: "object",
  description: "A secret that both sides have: signatures by `hmac-sha256`.",
  properties: {
    keyId,
    hmacSecret: {
      type: "string",
      writeOnly: true,
      description:
        "At least 32 bytes in base64 (`openssl rand -base64 32`), best as `${file:…}` or `${env:…}`.",
    },
    ...ofCredential,
  },
  required: ["keyId", "hmacSecret"],
  additionalProperties: false,
} as const;

export const publicKeySchema = {
  type: "object",
  description: "A key whose private half only the consumer has.",
  properties: {
    keyId,
    publicKey: { type: "string", description: "The public half, in PEM." },
    algorithm: {
      type: "string",
      enum: KEY_PAIR_ALGORITHMS,
      description: "What signatures are made by; the key must go with it.",
    },
    ...ofCredential,
  },
  required: ["keyId", "publicKey", "algorithm"],
  additionalProperties: false,
} as const;

const certificate = <const K extends string, const P extends string>(
  key: K,
  pattern: P,
  expected: string,
  description: string,
) =>
  ({
    type: "object",
    description: "A client certificate.",
    properties: {
      [key]: { type: "string", pattern, "x-expected": expected, description },
      ...ofCredential,
    },
    required: [key],
    additionalProperties: false,
  }) as const;

/** What a client certificate can be known by. */
export const certificateSchemas = [
  certificate(
    "certificateSubject",
    "^[0-9A-Za-z.]+=.",
    "a name such as CN=till-7,O=Example",
    "Its subject, as `openssl x509 -noout -subject -nameopt RFC2253,-esc_msb` prints it.",
  ),
  certificate(
    "certificateSan",
    "^(dns|uri|email):[\\x21-\\x7e]+$",
    "dns:NAME, uri:URI or email:ADDRESS",
    "One of its alternative names: `dns:`, `uri:` or `email:`, and the name.",
  ),
  certificate(
    "certificateSha256",
    "^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$",
    "the SHA-256 of the certificate, as 64 digits",
    "Its fingerprint: `openssl x509 -noout -fingerprint -sha256`.",
  ),
] as const;

export const credentialSchema = {
  description: "What a consumer shows who it is by.",
  anyOf: [
    apiKeySchema,
    apiKeyDigestSchema,
    hashedKeySchema,
    passwordSchema,
    hmacSecretSchema,
    publicKeySchema,
    ...certificateSchemas,
  ],
} as const;

export const consumerSchema = {
  type: "object",
  description: "Somebody on whose behalf requests are made: an app, a partner, a person.",
  properties: {
    name: {
      type: "string",
      pattern: "^[\\x21-\\x7e]+$",
      maxLength: 100,
      "x-expected": "a name without blanks",
      description: "Name in logs, for limits and for the upstream; unique.",
    },
    roles: { ...roles("What it may do: other stages ask for them."), default: [] },
    tier: text("Its tier, for limits and priorities."),
    claims: {
      type: "object",
      additionalProperties: true,
      description: "Facts about it, for templates, keys and scripts.",
    },
    credentials: {
      type: "array",
      items: credentialSchema,
      default: [],
      description: "How it shows who it is. Several may be valid at once, so that they can be changed.",
    },
  },
  required: ["name"],
  additionalProperties: false,
} as const;
