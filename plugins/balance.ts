/**
 * Sends the request to one target of an upstream.
 *
 * Stands last: it makes the reply and never calls next. A route's `upstream: name` is this stage in short.
 * The client sees the target's reply as it streams, 502 or 504 when the target fails, 503 when there is none.
 */
import type { FromSchema, JsonSchema, Plugin } from "../core/plugin.ts";
import { createBalancer } from "./balance/balancer.ts";

const schema = {
  type: "object",
  description: "Sends the request to one target of an upstream.",
  properties: {
    upstream: {
      type: "string",
      minLength: 1,
      "x-reference": "upstream",
      description: "Name of the upstream.",
    },
    strategy: {
      type: "string",
      enum: ["round-robin"],
      default: "round-robin",
      description: "How a target is picked: `round-robin` takes each in turn.",
    },
  },
  required: ["upstream"],
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const balance: Plugin<Options> = {
  name: "balance",
  schema,
  terminal: true,
  build(options, host) {
    const send = createBalancer(options, host);
    return () => send;
  },
};
