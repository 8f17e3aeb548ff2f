/**
 * Sends the request to one target of an upstream.
 *
 * Stands last: it makes the reply and never calls next. A route's `upstream: name` is this stage in short.
 * The client sees the target's reply as it streams, 502 or 504 when the target fails, 503 when there is none; with
 * `sticky`, a cookie on the reply when it goes to another target than before.
 * `key` and `loadFactor` belong to the strategy consistent-hash. Routes of one upstream take turns together.
 * Stages above may have targets passed over: those that failed the request already (retry), and those that are
 * not admitted (breaker). When a sticky target cannot be used, the strategy picks another.
 */
import type { FromSchema, JsonSchema, Plugin } from "../core/plugin.ts";
import { createBalancer } from "./balance/balancer.ts";
import { balanceProperties } from "./balance/options.ts";

const schema = {
  type: "object",
  description: "Sends the request to one target of an upstream.",
  properties: balanceProperties,
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
