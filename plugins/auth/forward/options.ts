/** The options of `forward`. */
import type { FromSchema } from "../../../core/plugin.ts";
import { allowHttpOption } from "../../../core/remote-url.ts";
import { duration } from "../../../core/units.ts";

const name = <const D extends string, const X extends string>(fallback: D, description: X) =>
  ({ type: "string", minLength: 1, default: fallback, description }) as const;

const names = <const D extends readonly string[], const X extends string>(fallback: D, description: X) =>
  ({
    type: "array",
    items: { type: "string", minLength: 1 },
    uniqueItems: true,
    default: fallback,
    description,
  }) as const;

export const forwardOptions = {
  type: "object",
  description: "Asks another server about each request.",
  properties: {
    url: {
      type: "string",
      minLength: 1,
      description: "Who is asked; `https:`, or `http:` on this machine.",
    },
    allowHttp: allowHttpOption("Let `url` be `http:` elsewhere: whoever is in between sees credentials."),
    method: {
      type: "string",
      enum: ["GET", "POST"],
      default: "GET",
      description: "How the question is asked. It has no body.",
    },
    headers: names(
      ["authorization", "cookie", "x-api-key"],
      "Headers of the request that are sent along. Without any of them there is no credential.",
    ),
    keep: {
      type: "boolean",
      default: false,
      description: "Leave these headers in the request. `cookie` always stays.",
    },
    consumerHeader: name("x-consumer-name", "Header of the answer that says who asks."),
    rolesHeader: name("x-consumer-roles", "Header of the answer with the roles, commas between them."),
    copyHeaders: names([], "Headers of the answer that the upstream gets, in the place of the client's own."),
    challenge: name("Bearer", "What `WWW-Authenticate` says to those who are refused."),
    timeout: duration("2s", "How long an answer may take."),
    cacheFor: duration("0s", "How long an answer holds for the same request; a refusal for 5s at most."),
  },
  required: ["url"],
  additionalProperties: false,
} as const;

export type ForwardOptions = FromSchema<typeof forwardOptions>;
