/**
 * A fixed reply: maintenance pages, robots.txt, stubs, health answers of the gateway itself.
 *
 * Stands at the end of a pipeline and never calls next. The client sees the status, the headers and the body of
 * the options; strings in them are templates. Without variables everything is prepared when the gateway starts.
 * Values of variables are escaped for JSON, HTML and XML bodies and percent-encoded in headers where they must
 * be. HEAD gets the headers that GET would (RFC 9110 section 9.3.2); 204 and 304 have no body. Nothing it
 * depends on can fail.
 */
import type { FromSchema, JsonSchema, Plugin } from "../core/plugin.ts";
import { compileReply, replyProperties } from "../core/fixed-reply.ts";

const schema = {
  type: "object",
  description: "Answers with a fixed reply.",
  properties: replyProperties,
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

export const respond: Plugin<Options> = {
  name: "respond",
  schema,
  terminal: true,
  build(options) {
    const handler = compileReply(options, "");
    return () => handler;
  },
};
