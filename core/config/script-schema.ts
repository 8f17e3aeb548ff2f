/** The keys of a stage that only scripts have: what one may use, and what it may reach. */
import type { FromSchema } from "json-schema-to-ts";
import { duration, size } from "../units.ts";

export const scriptLimitsSchema = {
  type: "object",
  description: "What a script may use; for stages that are scripts.",
  properties: {
    cpu: duration("10ms", "How long a hook may run at a stretch, from 1ms to 500ms."),
    memory: size("32MB", "Heap of the script, from 8MB to 512MB."),
    wall: duration("5s", "How long a hook may take, waiting included, from 1ms to 60s."),
  },
  additionalProperties: false,
} as const;

const HOST = {
  type: "string",
  pattern: "^(\\*\\.)?([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?|\\[[0-9A-Fa-f:.]+\\])(:\\d{1,5})?$",
  maxLength: 260,
  "x-expected": "a host such as api.example.com, *.example.com or api.example.com:8443",
} as const;

const hosts = {
  type: "array",
  items: HOST,
  minItems: 1,
  description:
    "Servers that may be asked: `api.example.com`, `*.example.com` for any name below, with `:port`.",
} as const;

/** The long form of `fetch`. */
export const fetchOptionsSchema = {
  type: "object",
  properties: {
    hosts,
    privateAddresses: {
      type: "array",
      items: { type: "string", minLength: 1 },
      default: [],
      description: "Addresses and CIDR ranges that are allowed although they are not public.",
    },
    timeout: duration("2s", "How long one request may take, from 1ms to 60s."),
    maxResponse: size("1MB", "Largest reply, from 1B to 16MB."),
    maxRequests: {
      type: "integer",
      minimum: 1,
      maximum: 100,
      default: 10,
      description: "Most requests of one hook.",
    },
  },
  required: ["hosts"],
  additionalProperties: false,
} as const;

const fetchSchema = {
  description: "Lets the script ask other servers with `ctx.fetch`: a list of hosts, or `hosts` with limits.",
  anyOf: [hosts, fetchOptionsSchema],
} as const;

const kvSchema = {
  description: "Lets the script keep values with `ctx.kv`: `true`, or in which store and apart from whom.",
  anyOf: [
    { const: true },
    {
      type: "object",
      properties: {
        store: { type: "string", minLength: 1, default: "main", description: "Name of a store." },
        namespace: {
          type: "string",
          pattern: "^[A-Za-z0-9][A-Za-z0-9._-]*$",
          maxLength: 100,
          description: "Keys are kept apart by it; the script's name by default.",
        },
      },
      additionalProperties: false,
    },
  ],
} as const;

export const scriptGrantsSchema = {
  type: "object",
  description: "What a script may reach beside the request; for stages that are scripts.",
  properties: {
    fetch: fetchSchema,
    kv: kvSchema,
    secrets: {
      type: "object",
      additionalProperties: { type: "string", minLength: 1, writeOnly: true },
      propertyNames: {
        pattern: "^[A-Za-z_][A-Za-z0-9_]*$",
        "x-expected": "a name of letters, digits and `_`",
      },
      description: "Values by name, which the script can use and not read.",
    },
  },
  additionalProperties: false,
} as const;

/** As it is written, defaults filled in. */
export type LimitsOptions = FromSchema<typeof scriptLimitsSchema>;
export type FetchOptions = FromSchema<typeof fetchOptionsSchema>;
export type KvOptions = FromSchema<(typeof kvSchema.anyOf)[1]>;
