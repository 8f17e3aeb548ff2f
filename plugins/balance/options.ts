/** The options of a `balance` stage, for stages that send to upstreams themselves as well. */
import type { FromSchema, JsonSchema } from "../../core/plugin.ts";
import { keySchema } from "../../core/key.ts";
import { setCookieProperties } from "../../core/set-cookie.ts";

/** A secret, or several of which the first signs. */
const secret = {
  writeOnly: true,
  description:
    "What cookies are signed with: at least 16 characters. A list to change it: the first signs, the others are still taken.",
  anyOf: [
    { type: "string", minLength: 16 },
    { type: "array", minItems: 1, items: { type: "string", minLength: 16 } },
  ],
} as const;

const sticky = {
  type: "object",
  description: "Sends a client to the same target again, by a signed cookie.",
  properties: {
    secret,
    cookie: {
      type: "string",
      minLength: 1,
      description:
        "Name of the cookie; by default `sluice-` and a short hash of the upstream's name, so that upstreams do not get in each other's way.",
    },
    ...setCookieProperties,
  },
  required: ["secret"],
  additionalProperties: false,
} as const;

/** What `strategy` may be. */
const STRATEGIES = [
  "weighted-round-robin",
  "round-robin",
  "least-connections",
  "power-of-two-choices",
  "ewma",
  "random",
  "ip-hash",
  "consistent-hash",
] as const;

/** A schema for the name of an upstream, which must exist. */
export const upstreamName = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, "x-reference": "upstream", description }) as const;

/** Properties of a schema: a stage that embeds them takes the same options. */
export const balanceProperties = {
  upstream: upstreamName("Name of the upstream."),
  strategy: {
    type: "string",
    enum: STRATEGIES,
    default: "weighted-round-robin",
    description: "How a target is picked.",
  },
  key: keySchema("What `consistent-hash` tells requests apart by; the client's address by default."),
  loadFactor: {
    description:
      "With `consistent-hash`: how many times its share of the requests under way a target gets at most, 1.25 by default; `false` for no limit.",
    anyOf: [{ type: "number", minimum: 1 }, { const: false }],
  },
  sticky,
} as const satisfies JsonSchema["properties"];

const optionsSchema = {
  type: "object",
  properties: balanceProperties,
  required: ["upstream"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type CheckedOptions = FromSchema<typeof optionsSchema>;

export type Strategy = (typeof STRATEGIES)[number];
export type StickyOptions = NonNullable<CheckedOptions["sticky"]>;

/** What a balancer must know; the upstream alone is enough. */
export type BalancerOptions = Omit<CheckedOptions, "strategy"> & { readonly strategy?: Strategy };
