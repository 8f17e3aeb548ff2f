/**
 * The body of a request that may be sent more than once. The first attempt gets it as it arrives; what has passed
 * is recorded, up to a cap, and a later attempt gets the record and then what still comes. Beyond the cap the
 * record is dropped and the body goes on as if nobody had wanted it again.
 */
import type { Body, EndListener, Sink } from "../../core/plugin.ts";

export class Replay implements Sink, EndListener {
  readonly #source: Body;
  readonly #maxBytes: number;
  /** What came and is still wanted: the record, or without one what waits for its sink. */
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #records: boolean;
  /** Something was passed on that is not recorded. */
  #lost = false;
  #started = false;
  #paused = false;
  #ended = false;
  #trailers: string[] | undefined;
  #error: Error | undefined;
  #cancelled = false;
  /** No attempt follows. */
  #closed = false;
  #view: View | undefined;

  /** @param maxBytes most that is recorded; a body that is known to be longer is not, from its first byte */
  constructor(source: Body, maxBytes: number) {
    this.#source = source;
    this.#maxBytes = maxBytes;
    this.#records = source.length === undefined || source.length <= maxBytes;
  }

  /** True while {@link open} gives the whole body. */
  get isComplete(): boolean {
    return !this.#lost && !this.#cancelled && this.#error === undefined;
  }

  /** The body for the next attempt. The one before gets no more. */
  open(): Body {
    this.#view?.fail(new Error("the body goes to another attempt"));
    this.#view = new View(this, this.#source.length);
    return this.#view;
  }

  /** No attempt follows: nothing more is recorded, and whoever cancels the last one cancels the client's body. */
  close(): void {
    this.#closed = true;
    if (this.#view === undefined) this.#cancelSource(new Error("nobody wants the body any more"));
    else this.#dropRecord();
  }

  onExchangeEnd(): void {
    this.#cancelSource(new Error("the exchange has ended"));
    this.#chunks.length = 0;
  }

  write(chunk: Buffer): boolean {
    if (this.#cancelled) return true;
    this.#take(chunk);
    const view = this.#view;
    if (view !== undefined) this.#deliver(view);
    this.#paused = view === undefined || view !== this.#view || !view.isReady;
    return !this.#paused;
  }

  end(last?: Buffer, trailers?: string[]): void {
    if (this.#cancelled) return;
    if (last !== undefined && last.length > 0) this.#take(last);
    this.#ended = true;
    this.#trailers = trailers;
    if (this.#view !== undefined) this.#deliver(this.#view);
  }

  fail(error: Error): void {
    if (this.#cancelled) return;
    this.#error = error;
    this.#chunks.length = 0;
    this.#view?.fail(error);
  }

  /** A view wants what there is. */
  pull(view: View): void {
    if (view === this.#view) this.#deliver(view);
  }

  /** A view wants no more. */
  leave(view: View, reason: Error): void {
    if (view !== this.#view) return;
    this.#view = undefined;
    if (this.#closed) this.#cancelSource(reason);
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#records && this.#bytes > this.#maxBytes) this.#dropRecord();
  }

  #dropRecord(): void {
    if (!this.#records) return;
    this.#records = false;
    const view = this.#view;
    if (view === undefined || view.taken === 0) return;
    this.#chunks.splice(0, view.taken);
    view.taken = 0;
    this.#lost = true;
  }

  #next(view: View): Buffer | undefined {
    if (this.#records) return this.#chunks[view.taken++];
    this.#lost = true;
    return this.#chunks.shift();
  }

  #deliver(view: View): void {
    if (view.isDelivering) return;
    view.isDelivering = true;
    while (view.isReady && view.taken < this.#chunks.length) view.write(this.#next(view)!);
    view.isDelivering = false;
    if (!view.isReady || view !== this.#view) return;
    if (this.#error !== undefined) view.fail(this.#error);
    else if (this.#ended) view.end(this.#trailers);
    else if (!this.#started) {
      this.#started = true;
      this.#source.start(this);
    } else if (this.#paused) {
      this.#paused = false;
      this.#source.resume();
    }
  }

  #cancelSource(reason: Error): void {
    if (this.#cancelled || this.#ended || this.#error !== undefined) return;
    this.#cancelled = true;
    this.#chunks.length = 0;
    this.#view?.fail(reason);
    this.#source.cancel(reason);
  }
}

/** The body as one attempt sees it. */
class View implements Body {
  readonly length: number | undefined;
  /** Chunks of the record that it got. */
  taken = 0;
  isDelivering = false;
  readonly #replay: Replay;
  #sink: Sink | undefined;
  #blocked = false;
  #error: Error | undefined;

  constructor(replay: Replay, length: number | undefined) {
    this.#replay = replay;
    this.length = length;
  }

  /** True while its sink takes more. */
  get isReady(): boolean {
    return this.#sink !== undefined && !this.#blocked;
  }

  start(sink: Sink): void {
    if (this.#error !== undefined) return sink.fail(this.#error);
    this.#sink = sink;
    this.#replay.pull(this);
  }

  resume(): void {
    if (!this.#blocked) return;
    this.#blocked = false;
    this.#replay.pull(this);
  }

  cancel(reason: Error = new Error("body not wanted")): void {
    if (this.#error !== undefined) return;
    this.#error = reason;
    this.#sink = undefined;
    this.#replay.leave(this, reason);
  }

  write(chunk: Buffer): void {
    if (!this.#sink!.write(chunk)) this.#blocked = true;
  }

  end(trailers: string[] | undefined): void {
    const sink = this.#sink!;
    this.#sink = undefined;
    sink.end(undefined, trailers);
  }

  fail(error: Error): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.fail(error);
  }
}
