/** The options of `oidc-login`. */
import { identityHeadersOption } from "../../core/identity-headers.ts";
import { namingOptions } from "../../core/naming.ts";
import { oauthServerOptions } from "../../core/oauth-server.ts";
import type { FromSchema, JsonSchema } from "../../core/plugin.ts";
import { setCookieProperties } from "../../core/set-cookie.ts";
import { duration } from "../../core/units.ts";

const path = <const D extends string, const X extends string>(fallback: D, description: X) =>
  ({
    type: "string",
    pattern: "^/[^?#\\s]*$",
    "x-expected": "a path, such as /oauth2/callback",
    "x-reference": "own-path",
    default: fallback,
    description,
  }) as const;

const secret = { type: "string", minLength: 32 } as const;

export const schema = {
  type: "object",
  description: "Has users log in at an OpenID Provider.",
  properties: {
    ...oauthServerOptions,
    secret: {
      anyOf: [secret, { type: "array", items: secret, minItems: 1 }],
      writeOnly: true,
      description:
        "Seals cookies; the same for all gateways. At least 32 characters, made by chance. Of several the first seals, and each opens.",
    },
    scopes: {
      type: "array",
      items: { type: "string", pattern: "^[\\x21\\x23-\\x5b\\x5d-\\x7e]+$", "x-expected": "a scope" },
      default: ["openid"],
      description: "What is asked for; `openid` always is. `offline_access` for a refresh token.",
    },
    parameters: {
      type: "object",
      additionalProperties: { type: "string" },
      default: {},
      description: "More for the provider's login page, such as `prompt` or `resource`.",
    },
    algorithms: {
      type: "array",
      items: {
        type: "string",
        enum: ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
      },
      minItems: 1,
      uniqueItems: true,
      default: ["RS256"],
      description: "How ID tokens may be signed.",
    },
    publicUrl: {
      type: "string",
      minLength: 1,
      description: "Scheme, host and port that browsers use; by default those of the request.",
    },
    callbackPath: path(
      "/oauth2/callback",
      "Where the provider sends browsers back to: a path that a route with this stage matches.",
    ),
    logoutPath: path("/oauth2/logout", "Where users log out: a path that a route with this stage matches."),
    afterLogout: {
      type: "string",
      pattern: "^(/[^\\s]*|https?://[^\\s]+)$",
      "x-expected": "a path or a URL",
      default: "/",
      description: "Where browsers go then: a path, or a URL.",
    },
    unauthenticated: {
      type: "string",
      enum: ["login", "deny"],
      default: "login",
      description:
        "Send browsers that open a page to the provider, or refuse all requests without a session.",
    },
    idleTimeout: duration("1h", "How long a session lasts that nobody uses, to a tenth."),
    lifetime: duration("12h", "How long a session lasts at most."),
    store: {
      type: "string",
      minLength: 1,
      "x-reference": "store",
      description:
        "Has several gateways that share sessions renew each once: the store in Redis that they share.",
    },
    accessTokenToUpstream: {
      type: "boolean",
      default: false,
      description: "Give the upstream the user's access token, in `authorization`.",
    },
    identityHeaders: identityHeadersOption,
    cookie: {
      type: "object",
      description: "The cookie that has the session.",
      properties: {
        name: {
          type: "string",
          minLength: 1,
          default: "__Host-sluice-session",
          description: "Its name; others begin with the same and a dot.",
        },
        domain: setCookieProperties.domain,
        secure: setCookieProperties.secure,
      },
      additionalProperties: false,
      default: {},
    },
    clockSkew: duration("30s", "How far the provider's clock may be off."),
    timeout: duration("5s", "How long each answer of the provider may take."),
    ...namingOptions,
  },
  required: ["issuer", "clientId", "clientSecret", "secret"],
  additionalProperties: false,
} as const satisfies JsonSchema;

export type Options = FromSchema<typeof schema>;
