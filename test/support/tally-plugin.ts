/** A plugin that does nothing but ask a store. */
import { type Plugin, textReply } from "../../core/plugin.ts";

interface Options {
  readonly store: string;
}

/** Answers with how many requests of that path there were, this one included. */
export const tally: Plugin<Options> = {
  name: "tally",
  schema: {
    type: "object",
    description: "Counts requests by path.",
    properties: {
      store: { type: "string", "x-reference": "store", default: "main", description: "Where it counts." },
    },
    additionalProperties: false,
  },
  terminal: true,
  build(options, host) {
    const store = host.stores.get(options.store)!;
    return () => async (x) => textReply(200, String(await store.incr(x.path, 1)));
  },
};
