/** The options of `limit`. */
import { keySchema } from "../../core/key.ts";
import type { FromSchema, JsonSchema } from "../../core/plugin.ts";
import { statusesSchema } from "../../core/statuses.ts";
import { duration, percent, rate } from "../../core/units.ts";

const units = <const X extends string>(description: X, minimum: 0 | 1 = 1) =>
  ({ type: "integer", minimum, maximum: 1_000_000_000, description }) as const;

const algorithm = {
  type: "string",
  enum: ["token-bucket", "fixed-window", "sliding-window-log", "sliding-window-counter", "hybrid"],
  description: "How requests are counted.",
} as const;

const rateOption = rate("How much in how long: `100/1m` is 100 a minute.");

const burst = units(
  "Units that the bucket of a `token-bucket` or `hybrid` holds: what may come at once. As many as the rate has by default.",
);

const ruleSchema = {
  type: "object",
  properties: {
    name: {
      type: "string",
      pattern: "^[a-z][a-z0-9-]{0,31}$",
      "x-expected": "a name such as per-second, up to 32 lower-case letters, digits and hyphens",
      description: "What replies and metrics call the rule; its window, such as `1m`, by default.",
    },
    algorithm,
    rate: rateOption,
    burst,
  },
  required: ["rate"],
  additionalProperties: false,
} as const;

const rulesSchema = {
  type: "array",
  items: ruleSchema,
  minItems: 1,
  maxItems: 8,
  description: "Several rates that all hold, such as one a second and one a day, instead of `rate`.",
} as const;

const key = keySchema("What is counted.");

const keyPart = {
  anyOf: [
    { type: "string", enum: ["global"] },
    ...key.anyOf,
    {
      type: "object",
      properties: {
        upstream: {
          type: "string",
          minLength: 1,
          "x-reference": "upstream",
          description: "Name of an upstream: all routes whose stages name it count together.",
        },
      },
      required: ["upstream"],
      additionalProperties: false,
    },
  ],
} as const;

const names = <const X extends string>(description: X, reference?: "consumer") => {
  const items = { type: "string", minLength: 1, ...(reference && { "x-reference": reference }) } as const;
  return { type: "array", items, default: [], description } as const;
};

const clients = <const X extends string>(description: X) =>
  ({
    type: "object",
    description,
    properties: {
      ips: names("Addresses and CIDR ranges (IPv4, IPv6)."),
      consumers: names("Names of consumers.", "consumer"),
      roles: names("Roles of consumers."),
    },
    additionalProperties: false,
  }) as const;

export const limitSchema = {
  type: "object",
  description: "Limits how many requests come in a time.",
  properties: {
    algorithm: { ...algorithm, default: "token-bucket" },
    rate: rateOption,
    burst,
    rules: rulesSchema,
    by: {
      description:
        "What is counted: `route` (all its requests together), `ip`, `consumer`, `{ header: x-tenant }` and so on, or a list of them for each combination. With `global` or `{ upstream: NAME }` in it, routes count together.",
      default: "route",
      anyOf: [...keyPart.anyOf, { type: "array", items: keyPart, minItems: 1, maxItems: 8 }],
    },
    ipv6Prefix: {
      type: "integer",
      minimum: 1,
      maximum: 128,
      default: 64,
      description: "Bits of an IPv6 address that are one client: providers give each a network.",
    },
    tiers: {
      type: "object",
      description:
        "Other rates for consumers of a tier, or with a role: the first that fits, the tier before the roles.",
      additionalProperties: {
        type: "object",
        properties: { rate: rateOption, burst, rules: rulesSchema },
        oneOf: [{ required: ["rate"] }, { required: ["rules"] }],
        additionalProperties: false,
      },
      minProperties: 1,
    },
    cost: {
      description: "Units that a request takes.",
      default: 1,
      anyOf: [
        units("The same for each request.", 0),
        {
          type: "object",
          properties: {
            header: { type: "string", minLength: 1, description: "Request header that has the number." },
            default: { ...units("For requests without it.", 0), default: 1 },
            max: { ...units("For values above it, and for those that are no whole number."), default: 100 },
          },
          required: ["header"],
          additionalProperties: false,
        },
      ],
    },
    charge: {
      type: "object",
      description: "What requests cost in the end, once there is a reply: more is charged, less given back.",
      properties: {
        header: {
          type: "string",
          minLength: 1,
          description: "Reply header that has the number; it is not sent on.",
        },
        max: { ...units("Most that the header may say."), default: 1000 },
        statuses: statusesSchema(2, [], "Statuses of replies that cost `cost` instead: numbers and ranges."),
        cost: { ...units("Units for replies with such a status.", 0), default: 0 },
      },
      minProperties: 1,
      additionalProperties: false,
    },
    countRejected: {
      type: "boolean",
      default: false,
      description: "Refused requests count too: whoever goes on asking goes on waiting.",
    },
    allow: clients("Who is not limited. They are counted apart."),
    deny: clients("Who is refused, whatever the rates are; beats `allow`."),
    ban: {
      type: "object",
      description: "Refuses all requests of a key for a time when too many of it were refused.",
      properties: {
        after: { ...units("Refusals that lead to a ban."), maximum: 1_000_000 },
        within: duration("1m", "Time in which they must come."),
        for: duration("10m", "How long the ban is."),
      },
      required: ["after"],
      additionalProperties: false,
    },
    store: {
      type: "string",
      minLength: 1,
      "x-reference": "store",
      description:
        "Store that counts for all gateways that have it. By default, and with a store in memory, each gateway counts for itself.",
    },
    timeout: duration("50ms", "How long the store may take for a decision."),
    lease: {
      type: "object",
      description: "Takes units from the store in batches, and gives them out without asking it each time.",
      properties: {
        share: percent("10%", "Most of a rule that a gateway has in hand."),
        time: duration("1s", "How long it may use a batch, at most a tenth of the window."),
      },
      additionalProperties: false,
    },
    onStoreError: {
      type: "string",
      enum: ["allow", "deny", "local"],
      default: "local",
      description:
        "Without the store: `local` counts in this gateway alone, `deny` refuses, `allow` lets all in.",
    },
    localShare: percent("100%", "The share of each rate that this gateway allows by itself then."),
    headers: {
      type: "array",
      items: { type: "string", enum: ["ratelimit", "x-ratelimit"] },
      uniqueItems: true,
      default: ["ratelimit"],
      description:
        "What replies tell: `RateLimit` and `RateLimit-Policy`, the older `X-RateLimit-*`, both, or nothing.",
    },
    mode: {
      type: "string",
      enum: ["enforce", "report"],
      default: "enforce",
      description: "`report` refuses nobody: it counts and marks who would have been.",
    },
  },
  oneOf: [{ required: ["rate"] }, { required: ["rules"] }],
  additionalProperties: false,
} as const satisfies JsonSchema;

export type LimitOptions = FromSchema<Omit<typeof limitSchema, "oneOf">>;
