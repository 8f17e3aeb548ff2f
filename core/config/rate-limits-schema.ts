/** The schema of limits that hold for all routes. What they are made of are the options of the plugin `limit`. */
import type { JsonSchema } from "../plugin.ts";

/** Options of a limit for all routes. The plugin says which there are, see {@link limitSchemas}. */
export const rateLimitSchema = {
  type: "object",
  description: "Options of the plugin `limit`, without `by`.",
} as const;

/** What a route makes of such a limit. */
export const routeRateLimitSchema = {
  description:
    "`false` takes the limit off this route. Options change it: with a `rate` or `rules` the route counts by itself.",
  anyOf: [{ const: false }, { type: "object" }],
} as const;

const names = <const R extends string>($ref: R) =>
  ({
    global: { $ref, description: "All requests together." },
    perIp: { $ref, description: "The requests of each address." },
    perUser: {
      $ref,
      description: "The requests of each consumer; by address for who is none.",
    },
  }) as const;

export const rateLimitsSchema = {
  type: "object",
  description: "Limits that hold for every route, counted over all routes together.",
  properties: names("#/definitions/rateLimit"),
  additionalProperties: false,
} as const;

export const routeRateLimitsSchema = {
  type: "object",
  description: "What this route makes of the limits that hold for all routes.",
  properties: names("#/definitions/routeRateLimit"),
  additionalProperties: false,
} as const;

export interface LimitSchemas {
  /** A limit of the gateway. */
  readonly whole: JsonSchema;
  /** What a route changes of one: nothing is required and nothing has a default. */
  readonly change: JsonSchema;
}

const made = new WeakMap<JsonSchema, LimitSchemas>();

/**
 * @param schema that of the plugin `limit`
 * @returns the same for the same schema, because compiled schemas are found by what they are
 */
export function limitSchemas(schema: JsonSchema): LimitSchemas {
  let schemas = made.get(schema);
  if (schemas === undefined) made.set(schema, (schemas = derive(schema)));
  return schemas;
}

function derive({ oneOf, ...schema }: JsonSchema): LimitSchemas {
  const { by: _, ...properties } = schema.properties ?? {};
  const bare = Object.entries(properties).map(([name, property]) => {
    if (typeof property === "boolean") return [name, property] as const;
    const { default: __, ...rest } = property;
    return [name, rest] as const;
  });
  return {
    whole: { ...schema, properties, ...(oneOf === undefined ? {} : { oneOf }) },
    change: { ...schema, properties: Object.fromEntries(bare) },
  };
}
