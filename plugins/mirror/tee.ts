/**
 * A body on its way to whoever wants it, copied as it passes. The copy never slows it down or changes it: it is given
 * up when it grows too large or the body breaks off.
 */
import type { Body, Sink } from "../../core/plugin.ts";

/** Told once what became of the copy. */
export interface CopyListener {
  onCopied(bytes: Buffer): void;
  onNotCopied(): void;
}

export class TeeBody implements Body, Sink {
  readonly length: number | undefined;
  readonly #body: Body;
  readonly #maxBytes: number;
  /** Undefined once it was told. */
  #listener: CopyListener | undefined;
  #sink: Sink | undefined;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(body: Body, maxBytes: number, listener: CopyListener) {
    this.length = body.length;
    this.#body = body;
    this.#maxBytes = maxBytes;
    this.#listener = listener;
  }

  start(sink: Sink): void {
    this.#sink = sink;
    this.#body.start(this);
  }

  resume(): void {
    this.#body.resume();
  }

  cancel(reason?: Error): void {
    this.giveUp();
    this.#body.cancel(reason);
  }

  write(chunk: Buffer): boolean {
    this.#copy(chunk);
    return this.#sink!.write(chunk);
  }

  end(last?: Buffer, trailers?: string[]): void {
    if (last !== undefined) this.#copy(last);
    const listener = this.#listener;
    const chunks = this.#chunks;
    this.#listener = undefined;
    this.#chunks = [];
    this.#sink!.end(last, trailers);
    listener?.onCopied(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
  }

  fail(error: Error): void {
    this.giveUp();
    this.#sink!.fail(error);
  }

  /** Copies no more; the body goes on. */
  giveUp(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    this.#chunks = [];
    listener?.onNotCopied();
  }

  #copy(chunk: Buffer): void {
    if (this.#listener === undefined || chunk.length === 0) return;
    this.#bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) this.giveUp();
    else this.#chunks.push(chunk);
  }
}
