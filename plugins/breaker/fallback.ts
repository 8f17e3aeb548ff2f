/** What clients get in place of a request that must not pass, or that failed. */
import { compileReply, replyProperties } from "../../core/fixed-reply.ts";
import { IDEMPOTENT } from "../../core/methods.ts";
import {
  BytesBody,
  type Exchange,
  type FromSchema,
  type Handler,
  type Host,
  type JsonSchema,
  type Reply,
} from "../../core/plugin.ts";
import { createBalancer } from "../balance/balancer.ts";
import { upstreamName } from "../balance/options.ts";

export const fallbackSchema = {
  description:
    "What clients get in place of requests that are not let in: a fixed reply, as of `respond`, or the reply of another upstream.",
  anyOf: [
    {
      type: "object",
      properties: { ...replyProperties, status: { ...replyProperties.status, default: 503 } },
      additionalProperties: false,
    },
    {
      type: "object",
      properties: { upstream: upstreamName("Name of the upstream that answers.") },
      required: ["upstream"],
      additionalProperties: false,
    },
  ],
} as const satisfies JsonSchema;

type FallbackOptions = FromSchema<typeof fallbackSchema>;

export interface Fallback {
  /** Whether it can answer a request that was sent already. */
  canFollow(x: Exchange): boolean;
  /** @param retryAfter seconds after which requests may be let in again; undefined when nobody was kept out */
  answer(x: Exchange, retryAfter: string | undefined): Reply | Promise<Reply>;
}

/** @throws ConfigError with pointers into the options of the stage */
export function createFallback(options: FallbackOptions, host: Host): Fallback {
  return "upstream" in options
    ? new OtherUpstream(createBalancer({ upstream: options.upstream }, host, "/fallback"))
    : new FixedReply(compileReply(options, "/fallback"));
}

class FixedReply implements Fallback {
  readonly #make: (x: Exchange) => Reply;

  constructor(make: (x: Exchange) => Reply) {
    this.#make = make;
  }

  canFollow(): boolean {
    return true;
  }

  /** A 503 says when to come back, unless it says so itself. */
  answer(x: Exchange, retryAfter: string | undefined): Reply {
    const reply = this.#make(x);
    const { status, headers } = reply;
    if (retryAfter !== undefined && status === 503 && !headers.has("retry-after")) {
      headers.append("retry-after", retryAfter);
    }
    return reply;
  }
}

const REPEATABLE: ReadonlySet<string> = new Set(IDEMPOTENT);

class OtherUpstream implements Fallback {
  readonly #send: Handler;

  constructor(send: Handler) {
    this.#send = send;
  }

  /** The upstream that failed may have done the work all the same, and a body that streamed is gone. */
  canFollow(x: Exchange): boolean {
    return REPEATABLE.has(x.method) && (x.body === null || x.body instanceof BytesBody);
  }

  answer(x: Exchange): Reply | Promise<Reply> {
    return this.#send(x);
  }
}
