/**
 * Gives each request an id: the client's if it is trusted and well-formed, a new UUID otherwise. Log lines,
 * problem replies and `{request.id}` carry it, the upstream gets it, and the client finds it on the reply.
 *
 * Stands first in a pipeline, so that whatever the stages below do carries the id; always calls next.
 * The client sees the header on every reply, also on failures, unless `reply: false`. The upstream's own value
 * of the header is replaced.
 * `traceContext` looks after `traceparent` and `tracestate` (W3C Trace Context): valid ones pass unchanged,
 * invalid ones are removed, and `create` begins a new trace where there is none.
 * `trust: proxies` goes by the `trustedProxies` of the listener.
 * Depends on nothing that can fail at run time.
 */
import { randomBytes, randomUUID, randomUUIDv7 } from "node:crypto";
import { editReplyHeaders } from "../core/edit-reply-headers.ts";
import { compileHeaderName } from "../core/option-text.ts";
import type { Exchange, FromSchema, JsonSchema, Plugin } from "../core/plugin.ts";
import { isTraceparent, isTracestate } from "./request-id/trace-context.ts";

const schema = {
  type: "object",
  description: "Gives each request an id and looks after its trace context.",
  properties: {
    header: {
      type: "string",
      minLength: 1,
      default: "x-request-id",
      description: "Header that carries the id, from the client, to the upstream and back.",
    },
    trust: {
      type: "string",
      enum: ["always", "proxies", "never"],
      default: "always",
      description:
        "Whose ids are kept: anyone's, those of the listener's `trustedProxies` only, or nobody's.",
    },
    format: {
      type: "string",
      enum: ["uuidv7", "uuidv4"],
      default: "uuidv7",
      description: "Form of new ids: `uuidv7` sorts by time, `uuidv4` is wholly random (RFC 9562).",
    },
    reply: {
      type: "boolean",
      default: true,
      description: "Put the id on the reply.",
    },
    traceContext: {
      type: "string",
      enum: ["pass", "create"],
      default: "pass",
      description:
        "`pass` forwards a valid trace context; `create` also begins a new, sampled one where there is none.",
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

/** An id that can be put in headers, logs and URLs as it is. */
const SAFE_ID = /^[A-Za-z0-9._:/+=@~-]{1,128}$/;

export const requestId: Plugin<Options> = {
  name: "request-id",
  schema,
  build(options) {
    const header = compileHeaderName(options.header, "/header");
    const isTrusted = compileTrust(options.trust);
    const createId = options.format === "uuidv4" ? () => randomUUID() : () => randomUUIDv7();
    const createTrace = options.traceContext === "create";
    return (next) => {
      const enter = (x: Exchange): string => {
        const id = (isTrusted(x) ? acceptedId(x.headers.getAll(header)) : undefined) ?? createId();
        x.id = id;
        x.headers.set(header, id);
        checkTraceContext(x, createTrace);
        return id;
      };
      if (options.reply) {
        return (x) => {
          const id = enter(x);
          return editReplyHeaders(x, next, (headers) => headers.set(header, id));
        };
      }
      return (x) => {
        enter(x);
        return next(x);
      };
    };
  },
};

function acceptedId(values: readonly string[]): string | undefined {
  const [value] = values;
  return values.length === 1 && SAFE_ID.test(value!) ? value : undefined;
}

function compileTrust(trust: Options["trust"]): (x: Exchange) => boolean {
  if (trust === "proxies") return (x) => x.peer.trusted;
  const trusted = trust === "always";
  return () => trusted;
}

/**
 * Keeps a context that the next participant could use. More than one traceparent makes it invalid; tracestate
 * means nothing without a valid one (Trace Context sections 3.2, 3.3).
 */
function checkTraceContext(x: Exchange, create: boolean): void {
  const { headers } = x;
  const parents = headers.getAll("traceparent");
  if (parents.length === 1 && isTraceparent(parents[0]!)) {
    const state = headers.getJoined("tracestate");
    if (state !== undefined && !isTracestate(state)) headers.delete("tracestate");
    return;
  }
  headers.delete("tracestate");
  if (create) headers.set("traceparent", createTraceparent());
  else if (parents.length > 0) headers.delete("traceparent");
}

/** A new trace, sampled: samplers that follow their parent would otherwise record nothing below it. */
function createTraceparent(): string {
  const hex = randomBytes(24).toString("hex");
  return `00-${hex.slice(0, 32)}-${hex.slice(32)}-01`;
}
