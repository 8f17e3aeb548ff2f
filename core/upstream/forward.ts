/** Sends an exchange to a target and makes a reply of what comes back. */
import { monotonicMs } from "../clock.ts";
import { BytesBody, type Producer, QueuedBody } from "../body.ts";
import { type ErrorCode, GatewayError, isUpstreamFailure } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { Reply } from "../reply.ts";
import { toUpstreamFailure } from "./failure.ts";
import { outgoingHeaders, VIA } from "./outgoing-headers.ts";
import type { Connections, PoolController, PoolHandler } from "./pool.ts";
import { replyHeaders, replyTrailers } from "./reply-headers.ts";
import { Upload } from "./upload.ts";

/** Where to send: a target's pool, and what precedes every path. */
export interface Destination {
  readonly pool: Connections;
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
   * @param failure what was wrong with the target; undefined also when the client, its body or a stage was
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
      body: body === null ? null : body instanceof BytesBody ? body.bytes : new Upload(body),
    };
    // From here on nothing throws: whatever was started is told to have ended.
    to.onStart();
    to.pool.dispatch(request, new Call(x, to, resolve, reject));
  });
}

/** One request on its way: what undici calls. */
class Call implements PoolHandler, Producer {
  done = false;
  readonly #x: Exchange;
  readonly #to: Destination;
  readonly #resolve: (reply: Reply) => void;
  readonly #reject: (error: unknown) => void;
  readonly #sentAt = monotonicMs();
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
    const now = monotonicMs();
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
      const error = toUpstreamFailure(this.#connectionError);
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
    const mapped = this.#abortReason ?? toUpstreamFailure((isClosed && this.#connectionError) || error);
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
    this.#to.onEnd(this.#status, isUpstreamFailure(error) ? error.code : undefined);
  }
}

/** Informational replies (1xx) before the reply itself; each one is written to the client at once. */
const MAX_INFORMATIONAL = 32;

const UNKNOWN_CODING = new Error("a Transfer-Encoding other than chunked");
const TOO_MANY_INFORMATIONAL = new Error(`more than ${MAX_INFORMATIONAL} informational replies`);
