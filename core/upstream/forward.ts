/** Sends an exchange to a target and makes a reply of what comes back. */
import { EventEmitter } from "node:events";
import { type Body, BytesBody, type Producer, QueuedBody } from "../body.ts";
import { type ErrorCode, GatewayError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { HeaderList, isHopByHop, isSameName, listMembers } from "../headers.ts";
import { Reply } from "../reply.ts";
import { ConnectError } from "./connector.ts";
import type { Pool, PoolController, PoolHandler, RawBytes } from "./pool.ts";

/** Name of the gateway in Via (RFC 9110 section 7.6.3). */
export const VIA = "sluice";

/** Where to send: a target's pool, and what precedes every path. */
export interface Destination {
  readonly pool: Pool;
  /** Path of the target's URL without a slash at its end; empty for none. */
  readonly basePath: string;
  /** Host header for the target. */
  readonly host: string;
  /** A request is on its way; {@link onEnd} follows. */
  onStart(): void;
  /**
   * The reply's head is there.
   * @param ms since it was sent
   * @param now monotonic milliseconds
   */
  onAnswered(ms: number, now: number): void;
  /**
   * The request has ended: its reply is complete, or there will be none.
   * @param status of the reply; 0 when there was none
   * @param failure what was wrong with the target; undefined also when the client or its body was
   */
  onEnd(status: number, failure: ErrorCode | undefined): void;
}

/**
 * Sends `x` and gives the reply as soon as its head is there; the body streams.
 * @throws GatewayError UPSTREAM_* when there is no reply, or what the client's own body failed with
 */
export function forward(x: Exchange, to: Destination): Promise<Reply> {
  return new Promise((resolve, reject) => {
    if (x.aborted !== undefined) return reject(x.aborted);
    const { body } = x;
    const request = {
      path: to.basePath + x.path + x.search,
      method: x.method,
      headers: outgoingHeaders(x, to.host),
      body: body === null ? null : uploadOf(body),
    };
    // From here on nothing throws: whatever was started is told to have ended.
    to.onStart();
    to.pool.dispatch(request, new Call(x, to, resolve, reject));
  });
}

/** The headers to send upstream: the client's without hop-by-hop fields, with the gateway's own. */
export function outgoingHeaders(x: Exchange, targetHost: string): string[] {
  const { raw } = x.headers;
  const { peer } = x;
  const deadlineHeader = x.deadline?.header;
  // HTTP/1.0 clients may have named no host: then there is none to preserve or to tell of.
  const out = ["host", (x.route.preserveHost && x.authority) || targetHost];
  let forwardedProto: string | undefined;
  let forwardedFor: string | undefined;
  let forwarded: string | undefined;
  let forwardedHost: string | undefined;
  let forwardedPort: string | undefined;
  let via: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    switch (name.length) {
      case 3:
        if (!isSameName(name, "via")) break;
        via = join(via, value);
        continue;
      case 4:
        if (!isSameName(name, "host")) break;
        if (value !== x.authority) out[1] = value; // a stage set it
        continue;
      case 6:
        if (isSameName(name, "expect")) continue;
        break;
      case 9:
        if (!isSameName(name, "forwarded")) break;
        forwarded = join(forwarded, value);
        continue;
      case 14:
        if (isSameName(name, "content-length")) continue;
        break;
      case 15:
        if (!isSameName(name, "x-forwarded-for")) break;
        forwardedFor = join(forwardedFor, value);
        continue;
      case 16:
        if (isSameName(name, "x-forwarded-host")) {
          forwardedHost = value;
          continue;
        }
        if (isSameName(name, "x-forwarded-port")) {
          forwardedPort = value;
          continue;
        }
        break;
      case 17:
        if (!isSameName(name, "x-forwarded-proto")) break;
        forwardedProto = value;
        continue;
    }
    if (isHopByHop(name) || (deadlineHeader !== undefined && isSameName(name, deadlineHeader))) continue;
    out.push(name, value);
  }
  out.push("x-forwarded-for", join(forwardedFor, peer.address));
  out.push("x-forwarded-proto", forwardedProto ?? x.scheme);
  const host = forwardedHost ?? x.authority;
  if (host !== "") out.push("x-forwarded-host", host);
  out.push("x-forwarded-port", forwardedPort ?? peer.localPort);
  out.push("forwarded", join(forwarded, peer.forwardedElement(x.authority)));
  out.push("via", join(via, `${x.httpVersion} ${VIA}`));
  if (deadlineHeader !== undefined) {
    out.push(deadlineHeader, String(Math.max(0, Math.floor(x.deadline!.at - performance.now()))));
  }
  const { body } = x;
  if (body?.length !== undefined && !(body instanceof BytesBody))
    out.push("content-length", String(body.length));
  return out;
}

function join(list: string | undefined, member: string): string {
  return list === undefined ? member : `${list}, ${member}`;
}

/** One request on its way: what undici calls. */
class Call implements PoolHandler, Producer {
  done = false;
  readonly #x: Exchange;
  readonly #to: Destination;
  readonly #resolve: (reply: Reply) => void;
  readonly #reject: (error: unknown) => void;
  readonly #sentAt = performance.now();
  #controller: PoolController | undefined;
  #body: QueuedBody | undefined;
  #status = 0;
  #informational = 0;
  #abortReason: Error | undefined;
  #connectionError: Error | undefined;

  constructor(
    x: Exchange,
    to: Destination,
    resolve: (reply: Reply) => void,
    reject: (error: unknown) => void,
  ) {
    this.#x = x;
    this.#to = to;
    this.#resolve = resolve;
    this.#reject = reject;
    x.onAbort(this);
  }

  onRequestStart(controller: PoolController): void {
    this.#controller = controller;
    if (this.#abortReason !== undefined) controller.abort(this.#abortReason);
  }

  onResponseStart(controller: PoolController, status: number, _headers: unknown, reason?: string): void {
    const headers = replyHeaders(controller.rawHeaders ?? []);
    if (headers === undefined) {
      return this.abort(new GatewayError("UPSTREAM_REPLY_INVALID", { cause: UNKNOWN_CODING }));
    }
    if (status < 200) {
      if (++this.#informational > MAX_INFORMATIONAL) {
        return this.abort(new GatewayError("UPSTREAM_REPLY_INVALID", { cause: TOO_MANY_INFORMATIONAL }));
      }
      this.#x.informant?.inform(status, headers.raw);
      return;
    }
    this.#status = status;
    const now = performance.now();
    const ms = now - this.#sentAt;
    this.#x.upstreamMs = Math.max(0, this.#x.upstreamMs) + ms;
    this.#to.onAnswered(ms, now);
    headers.raw.push("via", `1.1 ${VIA}`);
    const reply = new Reply(status, headers);
    reply.reason = reason;
    if (this.#x.method !== "HEAD" && status !== 204 && status !== 304) {
      const length = headers.get("content-length");
      this.#body = new QueuedBody(this, length === undefined ? undefined : Number(length));
      reply.body = this.#body;
    }
    this.#resolve(reply);
  }

  onResponseData(_controller: PoolController, chunk: Buffer): void {
    this.#body?.push(chunk);
  }

  onResponseEnd(controller: PoolController): void {
    if (this.#connectionError !== undefined) {
      const error = mapError(this.#connectionError);
      this.#end(error);
      return this.#body?.break(error);
    }
    this.#end(undefined);
    const trailers = controller.rawTrailers;
    this.#body?.finish(trailers && trailers.length > 0 ? replyTrailers(trailers) : undefined);
  }

  onConnectionError(error: Error): void {
    this.#connectionError ??= error; // the first says why, the others that it is closed
  }

  onResponseError(_controller: PoolController | null, error: Error): void {
    if (this.done) return;
    const isClosed = (error as NodeJS.ErrnoException).code === "UND_ERR_SOCKET";
    const mapped = this.#abortReason ?? mapError((isClosed && this.#connectionError) || error);
    this.#end(mapped);
    if (this.#status !== 0) this.#body?.break(mapped);
    else this.#reject(mapped);
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }

  /** Gives the request up, whether it waits, is under way, or its body is streaming. */
  abort(reason: Error): void {
    if (this.done) return;
    this.#abortReason = reason;
    if (this.#controller !== undefined) this.#controller.abort(reason);
    else {
      this.#end(reason);
      this.#reject(reason);
    }
  }

  #end(error: Error | undefined): void {
    this.done = true;
    const code = error instanceof GatewayError ? error.code : undefined;
    this.#to.onEnd(this.#status, code?.startsWith("UPSTREAM_") ? code : undefined);
  }
}

/** Informational replies (1xx) before the reply itself; each one is written to the client at once. */
const MAX_INFORMATIONAL = 32;

const UNKNOWN_CODING = new Error("a Transfer-Encoding other than chunked");
const TOO_MANY_INFORMATIONAL = new Error(`more than ${MAX_INFORMATIONAL} informational replies`);

/**
 * Headers of an upstream's reply, without those that concern its connection only. Undefined when its body has a
 * transfer coding that undici leaves on it: nobody would know any more.
 */
function replyHeaders(raw: readonly RawBytes[]): HeaderList | undefined {
  const out: string[] = [];
  let nominated: string[] | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.latin1Slice();
    const value = raw[i + 1]!.latin1Slice();
    if (isHopByHop(name)) {
      if (isSameName(name, "connection") && value !== "keep-alive" && value !== "close") {
        nominated = [...(nominated ?? []), ...listMembers(value)];
      }
      if (isSameName(name, "transfer-encoding") && value.toLowerCase() !== "chunked") return undefined;
      continue;
    }
    out.push(name, value);
  }
  const headers = new HeaderList(out);
  if (nominated !== undefined) for (const name of nominated) headers.delete(name);
  return headers;
}

/** Fields that must not come as trailers (RFC 9110 section 6.5.1). */
const NOT_IN_TRAILERS = new Set(
  "content-length content-type content-encoding content-range host authorization set-cookie cache-control expires location vary www-authenticate".split(
    " ",
  ),
);

function replyTrailers(raw: readonly RawBytes[]): string[] | undefined {
  const list = replyHeaders(raw)?.raw ?? [];
  const trailers: string[] = [];
  for (let i = 0; i < list.length; i += 2) {
    if (!NOT_IN_TRAILERS.has(list[i]!.toLowerCase())) trailers.push(list[i]!, list[i + 1]!);
  }
  return trailers.length === 0 ? undefined : trailers;
}

const CODES: Record<string, ErrorCode> = {
  SLUICE_POOL_CLOSED: "UPSTREAM_CONNECT_FAILED",
  EPROTO: "UPSTREAM_TLS_FAILED",
  SLUICE_QUEUE_TIMEOUT: "UPSTREAM_CONNECT_TIMEOUT",
  UND_ERR_HEADERS_TIMEOUT: "UPSTREAM_TIMEOUT",
  UND_ERR_BODY_TIMEOUT: "UPSTREAM_TIMEOUT",
  UND_ERR_HEADERS_OVERFLOW: "UPSTREAM_REPLY_INVALID",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "UPSTREAM_REPLY_INVALID",
  UND_ERR_INVALID_ARG: "REQUEST_INVALID",
  UND_ERR_NOT_SUPPORTED: "REQUEST_INVALID",
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: "REQUEST_INVALID",
};

/** undici's and the socket's errors as the gateway's. */
function mapError(error: Error): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof ConnectError) return new GatewayError(connectCode(error), { cause: error });
  const { code = "" } = error as NodeJS.ErrnoException;
  if (error.name === "HTTPParserError") return new GatewayError("UPSTREAM_REPLY_INVALID", { cause: error });
  // 100 or 101 that nobody asked for: undici knows them by message alone.
  if (/^bad (response|upgrade)$/.test(error.message)) {
    return new GatewayError("UPSTREAM_REPLY_INVALID", { cause: error });
  }
  // TLS 1.3 tells of a client certificate that is missing only once the connection stands.
  const other = code.startsWith("ERR_SSL_") ? "UPSTREAM_TLS_FAILED" : "UPSTREAM_RESET";
  return new GatewayError(CODES[code] ?? other, { cause: error });
}

function connectCode({ isTimeout, step }: ConnectError): ErrorCode {
  if (isTimeout) return "UPSTREAM_CONNECT_TIMEOUT";
  return step === "handshake" ? "UPSTREAM_TLS_FAILED" : "UPSTREAM_CONNECT_FAILED";
}

/**
 * A body as undici takes it: bytes, or the least of a stream. Not the client's own stream, because undici
 * destroys what it is given when a request fails, and the client still has to hear of it.
 */
function uploadOf(body: Body): Buffer | Upload {
  return body instanceof BytesBody ? body.bytes : new Upload(body);
}

class Upload extends EventEmitter {
  destroyed = false;
  readonly #body: Body;
  #started = false;
  #paused = false;
  #ended = false;

  constructor(body: Body) {
    super();
    this.#body = body;
  }

  resume(): this {
    this.#paused = false;
    if (this.#started) this.#body.resume();
    else {
      this.#started = true;
      this.#body.start({
        write: (chunk) => {
          this.emit("data", chunk);
          return !this.#paused;
        },
        end: (last) => {
          if (last !== undefined && last.length > 0) this.emit("data", last);
          this.#ended = true;
          this.emit("end");
        },
        fail: (error) => {
          this.#ended = true;
          if (!this.destroyed) this.emit("error", error);
        },
      });
    }
    return this;
  }

  pause(): this {
    this.#paused = true;
    return this;
  }

  /** undici tells a stream by `on` and `pipe`; it never pipes one. */
  pipe(): never {
    throw new Error("an upload is not piped");
  }

  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    if (!this.#ended) this.#body.cancel(error);
    return this;
  }
}
