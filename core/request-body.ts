/** The body of a client's request as it arrives over a socket, with the listener's limits on it. */
import type { IncomingMessage } from "node:http";
import type { Body, Sink } from "./body.ts";
import { GatewayError } from "./errors.ts";

/** Bytes of a body nobody wanted that are still read, so that the client hears the reply, before it is cut off. */
const LINGER_BYTES = 1024 * 1024;

export class RequestBody implements Body {
  readonly length: number | undefined;
  /** Bytes that came so far. */
  bytes = 0;
  /** Largest body allowed; asked when reading begins, because the route may set it. */
  maxBytes: () => number = () => Number.POSITIVE_INFINITY;
  readonly #request: IncomingMessage;
  readonly #timeoutMs: number;
  #onStart: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sink: Sink | undefined;
  #started = false;
  /** Why it broke off before anybody began to read. */
  #error: Error | undefined;

  /**
   * @param length bytes, or undefined when chunked
   * @param timeoutMs longest wait between two pieces
   * @param onStart called when somebody begins to read, for `100 Continue`
   */
  constructor(
    request: IncomingMessage,
    length: number | undefined,
    timeoutMs: number,
    onStart: (() => void) | undefined,
  ) {
    this.#request = request;
    this.length = length;
    this.#timeoutMs = timeoutMs;
    this.#onStart = onStart;
  }

  /** True while the client waits for `100 Continue` and nobody has asked for the body. */
  get awaitsContinue(): boolean {
    return this.#onStart !== undefined;
  }

  start(sink: Sink): void {
    const maxBytes = this.maxBytes();
    if (this.length !== undefined && this.length > maxBytes)
      return sink.fail(new GatewayError("BODY_TOO_LARGE"));
    const request = this.#request;
    if (this.#error !== undefined) return sink.fail(this.#error);
    if (request.destroyed && !request.complete) return sink.fail(new GatewayError("CLIENT_CLOSED"));
    this.#sink = sink;
    this.#started = true;
    const onStart = this.#onStart;
    this.#onStart = undefined;
    onStart?.();
    this.#timer = setTimeout(() => this.#onTimeout(), this.#timeoutMs);
    request.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (this.#sink === undefined) return;
      if (this.bytes > maxBytes) return this.fail(new GatewayError("BODY_TOO_LARGE"));
      this.#timer?.refresh();
      if (!this.#sink.write(chunk)) this.#request.pause();
    });
    request.on("end", () => this.#settle()?.end());
    request.on("error", () => this.fail(new GatewayError("CLIENT_CLOSED")));
    request.on("close", () => this.fail(new GatewayError("CLIENT_CLOSED")));
  }

  resume(): void {
    if (this.#sink === undefined) return;
    this.#timer?.refresh();
    this.#request.resume();
  }

  cancel(): void {
    this.#settle();
    if (this.#started) this.#request.pause();
  }

  /**
   * After the reply: reads what the client is still sending, up to a limit, so that it gets to see the reply
   * and the connection can be used again; then cuts it off.
   */
  linger(): void {
    const request = this.#request;
    if (request.complete || request.destroyed) return;
    let left = LINGER_BYTES;
    const timer = setTimeout(() => request.socket.destroy(), this.#timeoutMs);
    timer.unref();
    request.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (left < 0) request.socket.destroy();
    });
    request.on("error", () => {}); // the client left while we were only being polite
    request.on("close", () => clearTimeout(timer));
    request.on("end", () => clearTimeout(timer));
    request.resume();
  }

  /** The body cannot be completed: whoever reads it, or will, is told. */
  fail(error: Error): void {
    this.#error ??= error;
    this.#settle()?.fail(error);
  }

  #onTimeout(): void {
    // While the upstream takes no more, the wait is not the client's fault.
    if (this.#request.isPaused()) this.#timer?.refresh();
    else this.fail(new GatewayError("REQUEST_TIMEOUT"));
  }

  /** Ends delivery; gives the sink once. */
  #settle(): Sink | undefined {
    clearTimeout(this.#timer);
    const sink = this.#sink;
    this.#sink = undefined;
    return sink;
  }
}
