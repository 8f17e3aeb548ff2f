/** The options of `cache`. */
import { conditionSchema } from "../../core/config/condition-schema.ts";
import type { FromSchema, JsonSchema } from "../../core/plugin.ts";
import { anyDuration, anySize, duration, size } from "../../core/units.ts";
import { keyOption } from "./key.ts";
import { warmOption } from "../../core/warm-options.ts";

/** Schema of the option, shared with `coalesce`. */
export const waitProperties = {
  wait: duration(
    "5s",
    "Longest that a request waits for the head of the reply to another; then it is sent itself.",
  ),
  waiting: {
    type: "integer",
    minimum: 0,
    maximum: 1_000_000,
    default: 10_000,
    description: "Most requests of the stage that wait in this way on a thread; further ones are sent.",
  },
} as const;

export const schema = {
  type: "object",
  description: "Keeps replies and answers with them.",
  definitions: {
    condition: { ...conditionSchema, description: "Conditions on the request; all must hold." },
  },
  properties: {
    store: {
      type: "string",
      "x-reference": "store",
      description:
        "Store in Redis that gateways share as a second level; without it there is the memory only.",
    },
    strategy: {
      type: "string",
      enum: ["cache-aside", "write-through", "write-behind"],
      default: "cache-aside",
      description:
        "When what was fetched goes to the store: beside, at once, with those waiting who share it, or later from a queue. No client waits for it.",
    },
    compressAbove: anySize(
      "Larger bodies are compressed in the store, 1KB by default, unless they are already.",
    ),
    ttl: anyDuration(
      "How long replies are fresh that do not say it themselves, in place of a tenth of the time since their Last-Modified.",
    ),
    statuses: {
      type: "object",
      propertyNames: {
        pattern: "^[2-5]\\d\\d(-[2-5]\\d\\d)?$",
        "x-expected": "a status or a range such as 500-599",
      },
      additionalProperties: anyDuration("How long."),
      default: {},
      description:
        "The same for statuses and ranges of them, errors too: `{ 404: 10s, 500-503: 1s }`. `0s` is not at all.",
    },
    ignoreCacheControl: {
      type: "boolean",
      default: false,
      description:
        "Whatever replies say of caching does not count: `ttl` and `statuses` decide alone. Only what is for one client is left out, as far as it can be told.",
    },
    requestDirectives: {
      type: "string",
      enum: ["honor", "ignore"],
      default: "honor",
      description: "Whether clients may demand that the upstream is asked, by Cache-Control and Pragma.",
    },
    methods: {
      type: "array",
      items: { type: "string", enum: ["GET", "POST"] },
      minItems: 1,
      uniqueItems: true,
      default: ["GET"],
      description:
        "Methods whose replies are kept; GET includes HEAD. POST is told apart by its body, up to 64 KB.",
    },
    key: keyOption,
    bypass: {
      type: "array",
      items: { $ref: "#/definitions/condition" },
      default: [],
      description: "Requests that meet one of these conditions have nothing to do with the cache.",
    },
    maxBody: anySize(
      "Largest body that is kept: by default 8MB, and as much as memory has room for. At most half of `memory.max`, with a `store` all of it.",
    ),
    memory: {
      type: "object",
      description: "What is kept in memory.",
      properties: {
        max: size("64MB", "Most memory of all threads together, all overhead counted."),
        evict: {
          type: "string",
          enum: ["lru", "lfu", "ttl"],
          default: "lru",
          description:
            "What goes when it is full: what was not used for longest, what is used least (W-TinyLFU), what ends first.",
        },
      },
      additionalProperties: false,
      default: {},
    },
    variants: {
      type: "integer",
      minimum: 1,
      maximum: 1000,
      default: 50,
      description: "Most replies to the same key that are kept because of Vary; the newest stay.",
    },
    staleWhileRevalidate: duration(
      "0s",
      "How long replies that do not say it themselves may be used after their time, while they are refreshed behind the reply.",
    ),
    staleIfError: duration(
      "0s",
      "How long replies that do not say it themselves may be used after their time when the upstream fails.",
    ),
    earlyRefresh: {
      type: "number",
      minimum: 0,
      maximum: 100,
      default: 0,
      description:
        "How early what is used is refreshed behind the reply before its time is over (XFetch), as a multiple of how long it takes to get it; 1 is a good choice, 0 is never.",
    },
    forwardTags: {
      type: "boolean",
      default: false,
      description: "Whether clients see the tags of replies, Surrogate-Key and Cache-Tag.",
    },
    purgeHeader: {
      type: "string",
      description:
        'A header by which replies purge what this cache has: `tag=("a" "b"), url="/c", prefix="/d/";soft, all`. Clients do not see it.',
    },
    warm: warmOption,
    coalesce: {
      type: "object",
      description:
        "Of requests with the same key at the same time one is sent; the others wait for its reply.",
      properties: waitProperties,
      additionalProperties: false,
      default: {},
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

/** Without the definition of a condition, which refers to itself. */
export type Options = FromSchema<Omit<typeof schema, "definitions">>;
