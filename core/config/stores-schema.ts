/** The schema of stores: where what outlives a request is kept. */
import { duration, size } from "../units.ts";
import { text } from "./schema-parts.ts";

const keyPrefix = {
  type: "string",
  default: "sluice:",
  maxLength: 100,
  description: "What every key begins with. Gateways with the same one share their values.",
} as const;

const timeout = duration("50ms", "Longest that a call may take; it fails beyond.");

const password = <const X extends string>(description: X) =>
  ({ type: "string", minLength: 1, writeOnly: true, description }) as const;

export const memoryStoreSchema = {
  type: "object",
  description: "In the memory of the gateway, for all of its threads. Gone when the process ends.",
  properties: {
    type: { const: "memory", description: "In memory." },
    maxBytes: size("64MB", "Most memory that it takes; what was used longest ago makes room."),
  },
  required: ["type"],
  additionalProperties: false,
} as const;

export const redisStoreSchema = {
  type: "object",
  description: "A Redis server, or one that speaks its protocol.",
  properties: {
    type: { const: "redis", description: "One Redis server." },
    url: {
      type: "string",
      pattern: "^rediss?://",
      "x-expected": "a URL such as redis://127.0.0.1:6379",
      writeOnly: true,
      description: "Where it is: `redis://user:password@host:6379/0`; `rediss://` for TLS.",
    },
    keyPrefix,
    timeout,
  },
  required: ["type", "url"],
  additionalProperties: false,
} as const;

export const redisClusterStoreSchema = {
  type: "object",
  description: "A Redis cluster.",
  properties: {
    type: { const: "redis-cluster", description: "A Redis cluster." },
    nodes: {
      type: "array",
      minItems: 1,
      items: {
        type: "string",
        pattern: "^(\\[[0-9A-Fa-f:.]+\\]|[^:@/\\s]+):\\d{1,5}$",
        "x-expected": "a host and a port, such as 10.0.0.1:6379",
      },
      description: "Some of its nodes, as `host:port`; they tell of the others.",
    },
    username: text("User name, of all nodes."),
    password: password("Password, of all nodes."),
    tls: { type: "boolean", default: false, description: "Speak TLS with the nodes." },
    keyPrefix,
    timeout,
  },
  required: ["type", "nodes"],
  additionalProperties: false,
} as const;

export const storeSchema = {
  description: "A store: `memory`, `redis` or `redis-cluster`.",
  anyOf: [memoryStoreSchema, redisStoreSchema, redisClusterStoreSchema],
} as const;
