/** A reply as a value. Stages make and change replies; only the server writes them to a socket. */
import { type Body, BytesBody } from "./body.ts";
import { type ErrorCode, type GatewayError, problemBody } from "./errors.ts";
import { HeaderList, listMembers } from "./headers.ts";
import { type BodyErrors, Message } from "./message.ts";
import type { Printed } from "./printed.ts";

const BODY_ERRORS: BodyErrors = {
  tooLarge: "UPSTREAM_BODY_TOO_LARGE",
  invalid: "UPSTREAM_BODY_INVALID",
  unknownCoding: "UPSTREAM_BODY_INVALID",
};

export class Reply extends Message {
  status: number;
  /** The upstream's reason phrase, if it sent one. */
  reason: string | undefined;
  /** Set when the gateway failed and made this reply itself: the code of the failure. */
  errorCode: ErrorCode | undefined;
  /** Where the server keeps how it was written, if many are the same. */
  printed: Printed | undefined;

  constructor(status: number, headers: HeaderList = new HeaderList(), body: Body | null = null) {
    super(headers, body);
    this.status = status;
    this.reason = undefined;
    this.errorCode = undefined;
    this.printed = undefined;
  }

  protected override get bodyErrors(): BodyErrors {
    return BODY_ERRORS;
  }
}

/**
 * A reply with a body in memory.
 * @param contentType defaults to `text/plain; charset=utf-8`
 * @param headers more headers, flat `[name, value, …]`
 */
export function textReply(
  status: number,
  text: string,
  contentType = "text/plain; charset=utf-8",
  headers: readonly string[] = [],
): Reply {
  const bytes = Buffer.from(text);
  const raw = ["content-type", contentType, "content-length", String(bytes.length), ...headers];
  return new Reply(status, new HeaderList(raw), new BytesBody(bytes));
}

/**
 * A failure as a problem+json reply (RFC 9457).
 * @param more headers that stages want on it, such as an exchange's `failureHeaders`; they win; Vary is joined, and each cookie is set
 */
export function problemReply(error: GatewayError, requestId?: string, more?: HeaderList): Reply {
  const body = problemBody(error.code, error.detail, requestId, error.members);
  const reply = textReply(error.status, body, "application/problem+json", error.headers);
  if (more !== undefined) mergeHeaders(reply.headers, more);
  reply.errorCode = error.code;
  return reply;
}

function mergeHeaders(headers: HeaderList, more: HeaderList): void {
  for (let i = 0; i < more.raw.length; i += 2) {
    const name = more.raw[i]!.toLowerCase();
    const value = more.raw[i + 1]!;
    if (name === "set-cookie") headers.append(name, value);
    else if (name !== "vary") headers.set(name, value);
    else for (const member of listMembers(value)) headers.addMember(name, member);
  }
}
