/**
 * Sends one of any number of the same requests that come at the same time, on whichever thread, and with `store` at
 * whichever gateway, and gives its reply to all. Keeps nothing.
 *
 * Stands below what decides who may pass (`auth`, `limit`) and above `retry`, `breaker` and what sends; not together
 * with `cache`, which does it too. It calls next for GET and HEAD on an exchange of its own, for everything else as it
 * came. Those who wait get the reply only if their credentials (Authorization, Cookie, consumer) are the same or a
 * shared cache might use it again, if their fields of Vary are the same, and never if it sets a cookie or says `no-store`;
 * Cache-Status says `collapsed`. Otherwise they are sent themselves. Failures of the upstream go to all who wait on the
 * thread. Without its store each gateway sends one.
 */
import { OptionBounds } from "../core/option-bounds.ts";
import { ConfigError, type FromSchema, type JsonSchema, type Plugin, type Problem } from "../core/plugin.ts";
import { parseSize, size } from "../core/units.ts";
import { keyOption, Keys } from "./cache/key.ts";
import { waitProperties } from "./cache/schema.ts";
import { openCoalescing } from "./cache/coalescing/open-coalescing.ts";

const schema = {
  type: "object",
  description: "Sends one of any number of the same requests that come at the same time.",
  properties: {
    key: keyOption,
    ...waitProperties,
    store: {
      type: "string",
      "x-reference": "store",
      description:
        "Store in Redis by which gateways send one request together; without it each sends one. Replies that others wait for lie there for a moment.",
    },
    maxBody: size(
      "1MB",
      "Largest body that threads and gateways give each other; those who wait for a larger one are sent.",
    ),
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

export const coalesce: Plugin<FromSchema<typeof schema>> = {
  name: "coalesce",
  schema,
  harmAboveAuth: () => "would give what others have asked for to those who may not have it",
  build(options, host) {
    const problems: Problem[] = [];
    const patience = {
      waitMs: new OptionBounds(options, "", problems).wait("wait"),
      waiting: options.waiting,
    };
    if (problems.length > 0) throw new ConfigError(problems);
    const maxBytes = parseSize(options.maxBody);
    const { store } = options;
    return openCoalescing({ keys: new Keys(options.key), patience, maxBytes, store }, host);
  },
};
