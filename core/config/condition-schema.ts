/** Schemas of conditions on requests: what routes match by, and a stage's `when`. */
import { METHOD } from "../methods.ts";

/** A path or the beginning of one. */
export const PATH = {
  type: "string",
  pattern: "^/",
  "x-expected": "a path that starts with /",
} as const;

const CONSUMER = { type: "string", minLength: 1, "x-reference": "consumer" } as const;

/** How a header or a query parameter is compared. */
export const valueMatchSchema = {
  description:
    "A value it must equal, a list of values, `true` for present, `false` for absent, or `{ regex }`.",
  anyOf: [
    { type: "string" },
    { type: "boolean" },
    { type: "array", items: { type: "string" }, minItems: 1 },
    {
      type: "object",
      properties: {
        regex: { type: "string", description: "A JavaScript regular expression that must match." },
      },
      required: ["regex"],
      additionalProperties: false,
    },
  ],
} as const;

export const valueMatches = (description: string) =>
  ({ type: "object", description, additionalProperties: valueMatchSchema, minProperties: 1 }) as const;

/** A path: exact, with `:params`, ending in `/*` for a prefix, or `{ regex }`. */
export const pathMatchSchema = {
  description:
    "Exact (`/a`), with parameters (`/a/:id`), a prefix (`/a/*`), `{ regex: ^/a }`, or a list of these.",
  anyOf: [
    PATH,
    {
      type: "object",
      properties: {
        regex: {
          type: "string",
          description: "A JavaScript regular expression; named groups become params.",
        },
      },
      required: ["regex"],
      additionalProperties: false,
    },
    { type: "array", items: PATH, minItems: 1 },
  ],
} as const;

/** The conditions of a stage's `when`; all must hold. */
export const conditionSchema = {
  type: "object",
  description: "The stage runs only for requests that meet all of these; others go on to the next stage.",
  properties: {
    method: {
      description: "One of these methods; GET includes HEAD.",
      anyOf: [METHOD, { type: "array", items: METHOD, minItems: 1 }],
    },
    path: pathMatchSchema,
    header: valueMatches("Request headers by name."),
    query: valueMatches("Query parameters by name."),
    consumer: {
      description: "One of these consumers, or `true` for any known one, `false` for none.",
      anyOf: [{ type: "boolean" }, CONSUMER, { type: "array", items: CONSUMER, minItems: 1 }],
    },
    not: { $ref: "#/definitions/condition", description: "These conditions must not all hold." },
  },
  additionalProperties: false,
  minProperties: 1,
} as const;
