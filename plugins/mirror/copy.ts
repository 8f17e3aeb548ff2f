/** A copy of one request: waits for the body if there is one, is sent, and its reply is thrown away. */
import {
  BytesBody,
  type EndListener,
  type Exchange,
  GatewayError,
  type Handler,
  type Log,
  type Reply,
  type RouteInfo,
  type Sink,
} from "../../core/plugin.ts";
import type { Copies, CopyResult, UnderWay } from "./copies.ts";
import { type CopyListener, TeeBody } from "./tee.ts";

/** Bytes of a reply that are read so that the connection can be used again; beyond, it is cut off. */
const DRAIN_BYTES = 1024 * 1024;

/** What all copies of a stage have in common. */
export interface CopySettings {
  readonly copies: Copies;
  /** Sends to the upstream. */
  readonly send: Handler;
  /** Makes the request the copy's own. */
  readonly edit: (copy: Exchange) => void;
  readonly route: RouteInfo;
  readonly maxBodyBytes: number;
  readonly timeoutMs: number;
  readonly log: Log;
}

export class Copy implements UnderWay, CopyListener, EndListener, Sink {
  index = 0;
  readonly #settings: CopySettings;
  readonly #x: Exchange;
  /** Where the body comes from while it is not complete. */
  #tee: TeeBody | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reply: Reply | undefined;
  #replyBytes = 0;
  #sent = false;
  #done = false;

  /** Takes the request as it is now; nothing is sent yet. */
  constructor(x: Exchange, settings: CopySettings) {
    const { body } = x;
    this.#settings = settings;
    this.#x = x.fork(body instanceof BytesBody ? new BytesBody(body.bytes) : null);
    this.#x.route = settings.route;
    settings.copies.add(this);
    if (body !== null && !(body instanceof BytesBody)) {
      this.#tee = new TeeBody(body, settings.maxBodyBytes, this);
      x.body = this.#tee;
      x.onEnd(this);
    }
  }

  /** The original is on its way: the copy may go too, unless its body is still to come. */
  begin(): void {
    if (this.#tee === undefined && !this.#sent) void this.#send();
  }

  onCopied(bytes: Buffer): void {
    this.#tee = undefined;
    if (this.#done) return;
    this.#x.body = new BytesBody(bytes);
    void this.#send();
  }

  onNotCopied(): void {
    this.#tee = undefined;
    this.#finish("skipped_body");
  }

  /** The original has ended: what has not come of its body will not come. */
  onExchangeEnd(): void {
    this.#tee?.giveUp();
  }

  giveUp(reason: Error): void {
    this.#tee?.giveUp();
    this.#x.abort(reason);
    this.#fail(reason);
  }

  async #send(): Promise<void> {
    const { edit, send, timeoutMs } = this.#settings;
    this.#sent = true;
    this.#timer = setTimeout(onTimeout, timeoutMs, this);
    try {
      edit(this.#x);
      const reply = await send(this.#x);
      if (this.#done) reply.body?.cancel();
      else this.#drain(reply);
    } catch (error) {
      this.#fail(error);
    }
  }

  #drain(reply: Reply): void {
    this.#reply = reply;
    if (reply.body === null) this.#finish(resultOf(reply));
    else reply.body.start(this);
  }

  write(chunk: Buffer): boolean {
    this.#replyBytes += chunk.length;
    if (this.#replyBytes > DRAIN_BYTES) {
      this.end();
      this.#reply!.body!.cancel();
    }
    return true;
  }

  end(): void {
    this.#finish(resultOf(this.#reply!));
  }

  fail(error: Error): void {
    this.#fail(error);
  }

  #fail(error: unknown): void {
    if (this.#done) return;
    const { upstream, target, id } = this.#x;
    const fields = { err: error, upstream, target: target?.url, requestId: id };
    this.#settings.log.debug(fields, "a mirrored request failed");
    this.#finish("failed");
  }

  #finish(result: CopyResult): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    const { copies } = this.#settings;
    copies.counts[result]++;
    copies.remove(this);
    this.#x.end();
  }
}

function resultOf({ status }: Reply): CopyResult {
  return status < 500 ? "ok" : "error";
}

function onTimeout(copy: Copy): void {
  copy.giveUp(new GatewayError("UPSTREAM_TIMEOUT"));
}
