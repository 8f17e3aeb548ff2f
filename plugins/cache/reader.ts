/** The body of one reply that is read from a fill, beside others. */
import type { Body, EndListener, Sink } from "../../core/plugin.ts";

/** What readers read from: a fill. */
export interface Readable {
  readonly length: number | undefined;
  /** Set when it broke off. */
  readonly error: Error | undefined;
  readonly trailers: string[] | undefined;
  /** The chunk at a reader's position; undefined when it has not come yet. */
  chunkAt(position: number): Buffer | undefined;
  /** True when a reader that is there has everything before it. */
  isEndAt(position: number): boolean;
  /** A reader took something, so that the next may come. */
  onTaken(): void;
  /** A reader has all of it, or wants no more. */
  leave(reader: Reader): void;
}

export class Reader implements Body, EndListener {
  /** Chunks that were taken. */
  position = 0;
  readonly #fill: Readable;
  #sink: Sink | undefined;
  #blocked = false;
  #pumping = false;
  #done = false;
  #cancelled: Error | undefined;

  constructor(fill: Readable) {
    this.#fill = fill;
  }

  get length(): number | undefined {
    return this.#fill.length;
  }

  start(sink: Sink): void {
    this.#sink = sink;
    const error = this.#cancelled ?? this.#fill.error;
    if (error !== undefined) sink.fail(error);
    else this.pump();
  }

  resume(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.pump();
    if (!this.#done) this.#fill.onTaken();
  }

  cancel(reason: Error = new Error("body not wanted")): void {
    if (this.#done) return;
    this.#cancelled = reason;
    this.#leave();
  }

  /** The exchange that it is for has ended, whether it was read or not. */
  onExchangeEnd(): void {
    this.cancel();
  }

  /** Gives the sink what is there, as long as it takes it. */
  pump(): void {
    const sink = this.#sink;
    if (sink === undefined || this.#blocked || this.#pumping || this.#done) return;
    this.#pumping = true;
    const fill = this.#fill;
    for (;;) {
      const chunk = fill.chunkAt(this.position);
      if (chunk === undefined) break;
      this.position++;
      if (fill.isEndAt(this.position)) return this.#end(sink, chunk);
      if (!sink.write(chunk)) this.#blocked = true;
      if (this.#blocked || this.#done) break;
    }
    this.#pumping = false;
    if (!this.#done && !this.#blocked && fill.isEndAt(this.position)) this.#end(sink, undefined);
  }

  /** The source broke off. */
  break(error: Error): void {
    if (this.#done) return;
    const sink = this.#sink;
    this.#leave();
    sink?.fail(error);
  }

  #end(sink: Sink, last: Buffer | undefined): void {
    const { trailers } = this.#fill;
    this.#leave();
    sink.end(last, trailers);
  }

  #leave(): void {
    this.#done = true;
    this.#sink = undefined;
    this.#fill.leave(this);
  }
}
