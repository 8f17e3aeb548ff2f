/** The options of `introspection`. */
import { oauthServerOptions } from "../../../core/oauth-server.ts";
import type { FromSchema } from "../../../core/plugin.ts";
import { duration } from "../../../core/units.ts";
import { placeOptions } from "../credential.ts";
import { namingOptions } from "../../../core/naming.ts";

export const introspectionOptions = {
  type: "object",
  description:
    "A token that its authorization server is asked about: in `authorization` as `Bearer`, unless something is said.",
  properties: {
    endpoint: {
      type: "string",
      minLength: 1,
      description: "Where tokens are asked about; `https:`, or `http:` on this machine.",
    },
    ...oauthServerOptions,
    audience: {
      anyOf: [
        { type: "string", minLength: 1 },
        { type: "array", items: { type: "string", minLength: 1 }, minItems: 1 },
      ],
      description: "What `aud` must be or have in it; one of several.",
    },
    clockSkew: duration("30s", "How far the server's clock may be off."),
    timeout: duration("2s", "How long an answer may take."),
    cacheFor: duration("30s", "How long an answer holds, never beyond `exp`; a refusal for 5s at most."),
    ...namingOptions,
    ...placeOptions,
  },
  required: ["clientId", "clientSecret"],
  additionalProperties: false,
} as const;

export type IntrospectionOptions = FromSchema<typeof introspectionOptions>;
