/** What clients get in place of a request that must not pass, or that failed. */
import { isHeaderValue } from "../../core/headers.ts";
import { compileHeaderName } from "../../core/option-text.ts";
import {
  BytesBody,
  ConfigError,
  type Exchange,
  type Handler,
  HeaderList,
  type Host,
  Reply,
} from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { createBalancer } from "../balance/balancer.ts";

export const fallbackSchema = {
  description:
    "What clients get in place of requests that are not let in: a fixed reply, or the reply of another upstream.",
  anyOf: [
    {
      type: "object",
      properties: {
        status: {
          type: "integer",
          minimum: 200,
          maximum: 599,
          default: 503,
          description: "Status of the reply.",
        },
        headers: {
          type: "object",
          additionalProperties: { type: "string" },
          default: {},
          description: "Headers of the reply, by name.",
        },
        body: {
          type: "string",
          default: "",
          description: "Text of the reply; `text/plain; charset=utf-8` unless `headers` say otherwise.",
        },
      },
      additionalProperties: false,
    },
    {
      type: "object",
      properties: {
        upstream: {
          type: "string",
          minLength: 1,
          "x-reference": "upstream",
          description: "Name of the upstream that answers.",
        },
      },
      required: ["upstream"],
      additionalProperties: false,
    },
  ],
} as const;

export type FallbackOptions =
  | { status: number; headers: Readonly<Record<string, string>>; body: string }
  | { upstream: string };

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
    : new FixedReply(options.status, options.headers, options.body);
}

class FixedReply implements Fallback {
  readonly #status: number;
  readonly #headers: readonly string[];
  readonly #body: BytesBody | null;
  /** A 503 says when to come back, unless it says so itself. */
  readonly #wantsRetryAfter: boolean;

  constructor(status: number, headers: Readonly<Record<string, string>>, body: string) {
    this.#status = status;
    const list = new HeaderList();
    for (const [key, value] of Object.entries(headers)) {
      const pointer = childPointer("/fallback/headers", key);
      const name = compileHeaderName(key, pointer);
      if (!isHeaderValue(value)) {
        throw new ConfigError("A header value cannot have control or non-Latin-1 characters", pointer);
      }
      list.append(name, value);
    }
    const mayHaveBody = status !== 204 && status !== 304;
    if (body !== "" && !mayHaveBody) {
      throw new ConfigError(
        `A reply with status ${status} has no body (RFC 9110 section 6.4.1)`,
        "/fallback/body",
      );
    }
    if (body !== "" && !list.has("content-type")) list.append("content-type", "text/plain; charset=utf-8");
    if (mayHaveBody) list.append("content-length", String(Buffer.byteLength(body)));
    this.#headers = list.raw;
    this.#body = body === "" ? null : new BytesBody(Buffer.from(body));
    this.#wantsRetryAfter = status === 503 && !list.has("retry-after");
  }

  canFollow(): boolean {
    return true;
  }

  answer(x: Exchange, retryAfter: string | undefined): Reply {
    const headers = new HeaderList(this.#headers.slice());
    if (retryAfter !== undefined && this.#wantsRetryAfter) headers.append("retry-after", retryAfter);
    return new Reply(this.#status, headers, x.originalMethod === "HEAD" ? null : this.#body);
  }
}

/** Methods that may be carried out twice (RFC 9110 section 9.2.2). */
const IDEMPOTENT: readonly string[] = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];

class OtherUpstream implements Fallback {
  readonly #send: Handler;

  constructor(send: Handler) {
    this.#send = send;
  }

  /** The upstream that failed may have done the work all the same, and a body that streamed is gone. */
  canFollow(x: Exchange): boolean {
    return IDEMPOTENT.includes(x.method) && (x.body === null || x.body instanceof BytesBody);
  }

  answer(x: Exchange): Reply | Promise<Reply> {
    return this.#send(x);
  }
}
