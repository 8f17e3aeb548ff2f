/**
 * Sends the request to one target of an upstream.
 *
 * Stands last: it makes the reply and never calls next. A route's `upstream: name` is this stage in short.
 * The client sees the target's reply as it streams, 502 or 504 when the target fails, 503 when there is none.
 */
import type { FromSchema, JsonSchema, Plugin, Target } from "../core/plugin.ts";
import { ConfigError, GatewayError } from "../core/plugin.ts";

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

/** Whose turn it is; kept across generations so that frequent edits do not favour the first target. */
interface Turn {
  next: number;
}

export const balance: Plugin<Options> = {
  name: "balance",
  schema,
  terminal: true,
  build({ upstream: name }, host) {
    const upstream = host.upstreams.get(name);
    if (upstream === undefined) {
      throw new ConfigError(`There is no upstream "${name}"`, "/upstream", "CONFIG_UNKNOWN_UPSTREAM");
    }
    const turn: Turn = host.keep(`balance round-robin ${name}`, () => ({ next: 0 }));
    const pick = (): Target => {
      const { targets } = upstream;
      const target = targets[turn.next++ % targets.length];
      if (target === undefined)
        throw new GatewayError("UPSTREAM_UNAVAILABLE", { headers: ["retry-after", "1"] });
      return target;
    };
    return () => (x) => pick().forward(x);
  },
};
