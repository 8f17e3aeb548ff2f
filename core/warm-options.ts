/** What a cache is warmed with, in the configuration and at the admin listener. */
import type { FromSchema } from "./plugin.ts";
import { rate } from "./units.ts";

const urls = <const X extends string>(maxItems: number, description: X) =>
  ({
    type: "array",
    items: { type: "string", minLength: 1 },
    maxItems,
    uniqueItems: true,
    default: [],
    description,
  }) as const;

export const warmOption = {
  type: "object",
  description: "What is asked for before clients do.",
  properties: {
    urls: urls(10_000, "URLs of the route; without `key.host` paths are enough."),
    sitemaps: urls(
      1000,
      "URLs of sitemaps (XML, also packed by gzip) that the route serves; those of an index too.",
    ),
    rate: { ...rate("How many are asked for, at most."), default: "10/1s" },
    concurrency: {
      type: "integer",
      minimum: 1,
      maximum: 64,
      default: 4,
      description: "How many are asked for at a time.",
    },
    headers: {
      type: "object",
      propertyNames: { pattern: "^[\\w!#$%&'*+.^`|~-]+$", "x-expected": "the name of a header" },
      additionalProperties: { type: "string", pattern: "^[\\t\\x20-\\x7e]*$", description: "Its value." },
      default: {},
      description: "What is sent with them, such as `accept-encoding: gzip`.",
    },
  },
  additionalProperties: false,
} as const;

export type WarmOptions = FromSchema<typeof warmOption>;

/** True when it names nothing to ask for. */
export function hasNothing({ urls, sitemaps }: WarmOptions): boolean {
  return urls.length === 0 && sitemaps.length === 0;
}
