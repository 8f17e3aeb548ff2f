/**
 * A request's body on its way to a target, as undici takes it: the least of a stream. Not the client's own stream,
 * because undici destroys what it is given when a request fails, and the client still has to hear of it.
 */
import { EventEmitter } from "node:events";
import type { Body, Sink } from "../body.ts";
import { toGatewayError } from "../errors.ts";

export class Upload extends EventEmitter implements Sink {
  destroyed = false;
  readonly #body: Body;
  #started = false;
  #paused = false;
  #ended = false;

  constructor(body: Body) {
    super();
    this.#body = body;
  }

  /** undici's side: it wants chunks, for the first time or again. */
  resume(): this {
    this.#paused = false;
    if (this.#started) this.#body.resume();
    else {
      this.#started = true;
      this.#body.start(this);
    }
    return this;
  }

  /** undici's side: it wants no more for now. */
  pause(): this {
    this.#paused = true;
    return this;
  }

  /** undici tells a stream by `on` and `pipe`; it never pipes one. */
  pipe(): never {
    throw new Error("an upload is not piped");
  }

  /** undici's side: it wants no more at all. */
  destroy(error?: Error): this {
    if (this.destroyed) return this;
    this.destroyed = true;
    if (!this.#ended) this.#body.cancel(error);
    return this;
  }

  write(chunk: Buffer): boolean {
    this.emit("data", chunk);
    return !this.#paused;
  }

  end(last?: Buffer): void {
    if (last !== undefined && last.length > 0) this.emit("data", last);
    this.#ended = true;
    this.emit("end");
  }

  fail(error: Error): void {
    this.#ended = true;
    // Bodies of the gateway fail with codes. One that a stage made may not, and the target is not to blame for it.
    if (!this.destroyed) this.emit("error", toGatewayError(error, "STAGE_FAILED"));
  }
}
