/** The options of `jwt`. */
import type { FromSchema } from "../../../core/plugin.ts";
import { anyDuration, duration } from "../../../core/units.ts";
import { placeOptions } from "../credential.ts";
import { namingOptions } from "../../../core/naming.ts";

const text = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, description }) as const;

const issuerOptions = {
  type: "object",
  description: "Who makes tokens, and which of them count.",
  properties: {
    issuer: text("What `iss` must be, to the letter."),
    audience: {
      anyOf: [
        { type: "string", minLength: 1 },
        { type: "array", items: { type: "string", minLength: 1 }, minItems: 1 },
      ],
      description: "What `aud` must be or have in it; one of several.",
    },
    anyAudience: {
      type: "boolean",
      default: false,
      description: "Take tokens that were made for somebody else, instead of `audience`.",
    },
    algorithms: {
      type: "array",
      items: {
        type: "string",
        enum: [
          "HS256",
          "HS384",
          "HS512",
          "RS256",
          "RS384",
          "RS512",
          "PS256",
          "PS384",
          "PS512",
          "ES256",
          "ES384",
          "ES512",
          "EdDSA",
        ],
      },
      minItems: 1,
      uniqueItems: true,
      description: "How tokens may be signed: HS with `secret`, the others with public keys.",
    },
    secret: { ...text("A key that is shared with the issuer."), writeOnly: true },
    secretEncoding: {
      type: "string",
      enum: ["utf8", "base64"],
      default: "utf8",
      description: "How `secret` is written: as it is, or in base64 or base64url.",
    },
    publicKey: { ...text("A public key or certificate in PEM."), writeOnly: true },
    jwks: {
      type: "object",
      additionalProperties: true,
      writeOnly: true,
      description: "Public keys as a JWK Set (RFC 7517); `kid` says which.",
    },
    jwksUri: text("Where the issuer publishes its JWK Set; `https:`, or `http:` on this machine."),
    allowHttp: {
      type: "boolean",
      default: false,
      description: "Let `jwksUri` be `http:` elsewhere: whoever is in between can make tokens then.",
    },
    refresh: duration("10m", "How old keys from `jwksUri` become before they are fetched again."),
    cooldown: duration("30s", "Shortest time between two fetches, for unknown keys and after failures."),
    staleFor: duration("1d", "How long keys go on to count when they cannot be fetched again."),
    typ: text("What the header `typ` must be, such as `at+jwt` for access tokens (RFC 9068)."),
    requiredClaims: {
      type: "array",
      items: { type: "string", minLength: 1 },
      default: ["exp"],
      description: "Claims that must be there.",
    },
    maxAge: anyDuration("How long ago, by `iat`, a token may have been made."),
    clockSkew: duration("30s", "How far the issuer's clock may be off."),
    ...namingOptions,
    prefix: {
      ...namingOptions.prefix,
      description: "What goes before the consumer's name; must be given where there are several issuers.",
    },
  },
  required: ["issuer", "algorithms"],
  additionalProperties: false,
} as const;

export const jwtOptions = {
  type: "object",
  description: "A JSON Web Token: in `authorization` as `Bearer`, unless something is said.",
  properties: {
    issuers: {
      type: "array",
      items: issuerOptions,
      minItems: 1,
      description: "Who makes tokens, and which of them count.",
    },
    ...placeOptions,
  },
  required: ["issuers"],
  additionalProperties: false,
} as const;

export type JwtOptions = FromSchema<typeof jwtOptions>;
export type IssuerOptions = JwtOptions["issuers"][number];
