/**
 * One exchange on a socket: runs it, writes its reply, and tells the listener how it ended. Together with the
 * listener, the only code that writes to a client.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Sink } from "./body.ts";
import { type ErrorCode, GatewayError, toGatewayError } from "./errors.ts";
import type { Exchange, Informant } from "./exchange.ts";
import { STATUS_CODES } from "./node-http.ts";
import { problemReply, type Reply } from "./reply.ts";
import type { RequestBody } from "./request-body.ts";

/** Bodies up to this length are copied behind the head. */
const SMALL_BODY_BYTES = 4096;

/** How an exchange ended. */
export interface Outcome {
  status: number;
  /** Set when the gateway or the client failed it. */
  code: ErrorCode | undefined;
  /** The failure, for the log. */
  error: GatewayError | undefined;
  bytesIn: number;
  bytesOut: number;
}

/** A listener's settings that concern a transaction. */
export interface TransactionSettings {
  /** Longest wait between two pieces of a reply that the client takes. */
  readonly sendTimeoutMs: number;
  /** Requests after which a connection is closed. */
  readonly maxRequests: number;
}

/** What a transaction needs of the listener it came in by. */
export interface TransactionHost {
  /** True while the listener closes: connections are not to be used again. */
  readonly draining: boolean;
  readonly service: { handle(x: Exchange): Reply | Promise<Reply> };
  onEnd(transaction: Transaction, socket: Socket, x: Exchange, outcome: Outcome): void;
}

export class Transaction implements Sink, Informant {
  /** Which request of its connection it is, from 1. */
  readonly number: number;
  readonly #x: Exchange;
  readonly #requestBody: RequestBody | null;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #listener: TransactionHost;
  readonly #settings: TransactionSettings;
  /** The connection cannot be used again after this. */
  #closing = false;
  #reply: Reply | undefined;
  #error: GatewayError | undefined;
  #bytesOut = 0;
  /** Runs while the client takes nothing; undefined until it did so for the first time. */
  #sendTimer: NodeJS.Timeout | undefined;
  #done = false;

  constructor(
    x: Exchange,
    requestBody: RequestBody | null,
    request: IncomingMessage,
    response: ServerResponse,
    listener: TransactionHost,
    settings: TransactionSettings,
    number: number,
  ) {
    this.number = number;
    this.#x = x;
    this.#requestBody = requestBody;
    this.#request = request;
    this.#response = response;
    this.#listener = listener;
    this.#settings = settings;
    if (requestBody !== null) requestBody.maxBytes = () => x.maxBodyBytes;
    x.informant = this;
  }

  run(): void {
    try {
      const result = this.#listener.service.handle(this.#x);
      if (result instanceof Promise) {
        result.then(
          (reply) => this.send(reply),
          (error: unknown) => this.#sendFailure(error),
        );
      } else this.send(result);
    } catch (error) {
      this.#sendFailure(error);
    }
  }

  send(reply: Reply): void {
    const x = this.#x;
    if (this.#done) {
      reply.body?.cancel();
      return;
    }
    this.#reply = reply;
    const { status } = reply;
    const { raw } = reply.headers;
    const isHead = x.originalMethod === "HEAD";
    if (reply.body !== null && (isHead || status === 204 || status === 304)) {
      reply.body.cancel();
      reply.body = null;
    }
    if (status === 204) reply.headers.delete("content-length");
    else if (reply.body === null && !isHead && status !== 304) reply.headers.set("content-length", "0");
    const isLast = this.#closing || this.number >= this.#settings.maxRequests;
    const closes = isLast || this.#listener.draining || this.#requestBody?.awaitsContinue;
    const printed = closes ? undefined : reply.printed;
    if (printed?.write(this.#response, reply, this.#settings)) {
      this.#bytesOut += reply.body?.length ?? 0;
      return this.#finishSent();
    }
    if (closes) raw.push("connection", "close");
    try {
      // The reason phrase is the upstream's business only while it is printable (RFC 9112 section 4).
      const { reason } = reply;
      if (reason && reason !== STATUS_CODES[status] && /^[\t\x20-\x7e\x80-\xff]*$/.test(reason))
        this.#response.writeHead(status, reason, raw);
      else this.#response.writeHead(status, raw);
    } catch (error) {
      reply.body?.cancel();
      this.#reply = undefined;
      if (this.#error !== undefined) return this.#breakOff(this.#error);
      const code = x.upstream === "" ? "HEADER_INVALID" : "UPSTREAM_REPLY_INVALID";
      return this.#sendFailure(new GatewayError(code, { cause: error }));
    }
    printed?.keep(this.#response, reply, this.#settings);
    if (reply.body === null) return this.end();
    reply.body.start(this);
    // Nothing of the body is there yet: the client need not wait for it to see the head. Node's flushHeaders would send
    // Latin-1 as UTF-8.
    if (!this.#done && this.#bytesOut === 0) this.#response.write("", "latin1");
  }

  write(chunk: Buffer): boolean {
    if (this.#done) return true;
    this.#bytesOut += chunk.length;
    const response = this.#response;
    if (response.write(chunk)) return true;
    if (this.#sendTimer === undefined) {
      response.on("drain", () => this.#onDrain());
      response.once("close", () => clearTimeout(this.#sendTimer));
    }
    this.#startSendTimer();
    return false;
  }

  #startSendTimer(): void {
    clearTimeout(this.#sendTimer);
    this.#sendTimer = setTimeout(() => {
      // While the reply to an earlier request is on its way, the wait is not the client's fault.
      if (this.#response.socket === null) this.#startSendTimer();
      else this.#request.socket.destroy();
    }, this.#settings.sendTimeoutMs);
  }

  #onDrain(): void {
    clearTimeout(this.#sendTimer);
    if (!this.#done) this.#reply?.body?.resume();
  }

  end(last?: Buffer, trailers?: string[]): void {
    if (this.#done) return;
    const response = this.#response;
    if (trailers !== undefined && response.chunkedEncoding) {
      response.addTrailers(pairs(trailers));
    }
    if (last === undefined || last.length === 0) response.end();
    else {
      this.#bytesOut += last.length;
      // Node sends a string together with the head in one write, and a buffer in another.
      if (last.length <= SMALL_BODY_BYTES) response.end(last.toString("latin1"), "latin1");
      else response.end(last);
    }
    this.#finishSent();
  }

  /** The reply is out, as far as the client takes it. */
  #finishSent(): void {
    const response = this.#response;
    if (response.socket === null) response.once("socket", () => this.#watchFlush());
    else if (response.socket.writableLength > 0) this.#watchFlush();
    this.#finish(this.#reply?.status ?? 500, this.#reply?.errorCode);
  }

  /** Drops a client that does not take what is left of a reply. The socket's own timer sees progress. */
  #watchFlush(): void {
    const { socket } = this.#request;
    clearTimeout(this.#sendTimer);
    socket.setTimeout(this.#settings.sendTimeoutMs);
    // Before Node's own listener, which sets the timeout for keep-alive.
    this.#response.prependOnceListener("finish", () => socket.setTimeout(0));
  }

  fail(error: Error): void {
    if (!this.#done) this.#breakOff(toGatewayError(error, "STAGE_FAILED"));
  }

  /** The client's connection ended before the exchange did. */
  onClientGone(): void {
    if (this.#done) return;
    const error = new GatewayError("CLIENT_CLOSED");
    this.#finish(error.status, error.code);
    this.#x.abort(error);
    this.#reply?.body?.cancel(error);
  }

  /**
   * The client sent something after the head that is not HTTP: no more can be read from it.
   * @param isLast no reply follows this one, not even one that is made already
   */
  onBadMessage(error: GatewayError, isLast: boolean): void {
    this.#closing = isLast;
    this.#response.once("finish", () => this.#request.socket.destroySoon());
    this.#requestBody?.fail(error);
  }

  /** The reply's head is gone out: all that is left to tell the client is a broken connection. */
  #breakOff(error: GatewayError): void {
    this.#error = error;
    this.#finish(this.#reply?.status ?? error.status, error.code);
    this.#request.socket.destroy();
  }

  #sendFailure(thrown: unknown): void {
    if (this.#done) return;
    const error = toGatewayError(thrown, "STAGE_FAILED");
    this.#error = error;
    this.#x.body?.cancel(error);
    this.send(problemReply(error, this.#x.id, this.#x.failureHeaders));
  }

  inform(status: number, headers: string[]): void {
    if (this.#done || this.#response.headersSent || this.#x.httpVersion !== "1.1") return;
    this.#response.writeInformation(status, headers);
  }

  #finish(status: number, code: ErrorCode | undefined): void {
    this.#done = true;
    const body = this.#requestBody;
    this.#listener.onEnd(this, this.#request.socket, this.#x, {
      status,
      code,
      error: this.#error,
      bytesIn: body === null ? 0 : body.bytes,
      bytesOut: this.#bytesOut,
    });
    if (body !== null) body.linger();
  }
}

function pairs(flat: string[]): [string, string][] {
  const list: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) list.push([flat[i]!, flat[i + 1]!]);
  return list;
}
