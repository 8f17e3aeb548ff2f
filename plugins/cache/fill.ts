/**
 * A body on its way from the upstream to several readers, kept as it passes so that it can be stored. While it is
 * being kept, it comes as fast as the upstream sends it and each reader takes it at its own pace. Once it is not (any
 * more), what all readers have taken is let go, and the slowest of them sets the pace.
 */
import type { Body, Sink } from "../../core/plugin.ts";
import type { Loan, PassingBodies } from "./passing-bodies.ts";
import { Reader, type Readable } from "./reader.ts";

/** Bytes that may wait for the slowest reader of a body that is not kept. */
const HIGH_WATER_BYTES = 64 * 1024;

/** How long a body that nobody reads any more may still take to be stored. */
const LONGEST_ALONE_MS = 30_000;

/** Told once what became of what was kept. */
export interface FillListener {
  /** The body is complete: what there is of it, in memory of its own. Called before readers hear of the end. */
  onFilled(bytes: Buffer): void;
  /** It is not kept (any more), or broke off. Readers may go on. */
  onGivenUp(reason: GivenUp): void;
  /** Nobody reads it any more, or it has ended for all: nothing follows. */
  onDone(): void;
}

export type GivenUp = "too-large" | "memory" | "broken" | "abandoned";

export class Fill implements Sink, Readable {
  readonly length: number | undefined;
  readonly #source: Body;
  readonly #listener: FillListener;
  readonly #passing: PassingBodies;
  /** Bytes to keep at most; -1 when it is not kept. */
  #maxBytes: number;
  /** What readers that are still there have not all taken, and all that is kept. */
  readonly #chunks: Buffer[] = [];
  /** Chunks that were let go. */
  #dropped = 0;
  #bytes = 0;
  readonly #readers: Reader[] = [];
  #started = false;
  #paused = false;
  #writing = false;
  #ended = false;
  #trailers: string[] | undefined;
  #error: Error | undefined;
  #over = false;
  /** Bytes of it that are counted. */
  #counted = 0;
  /** Of what was kept, while it is read. */
  #loan: Loan | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param maxBytes most that is kept; -1 for nothing */
  constructor(source: Body, maxBytes: number, listener: FillListener, passing: PassingBodies) {
    const { length } = source;
    this.length = length;
    this.#source = source;
    this.#listener = listener;
    this.#passing = passing;
    this.#maxBytes = maxBytes;
    if (length !== undefined && length > maxBytes && maxBytes >= 0) this.#giveUp("too-large");
  }

  /** True while everything from the first byte on is there: for readers that come later. */
  get isWhole(): boolean {
    return this.#dropped === 0 && this.#error === undefined && !this.#over;
  }

  /** True while it is being kept. */
  get isKept(): boolean {
    return this.#maxBytes >= 0;
  }

  /** Another reader, from the first byte on; the fill must be whole. */
  open(): Reader {
    clearTimeout(this.#timer);
    const reader = new Reader(this);
    this.#readers.push(reader);
    return reader;
  }

  /** Begins to read; the first readers are there, or it is read for the cache only. */
  begin(): void {
    this.#started = true;
    if (this.#readers.length === 0) this.#onAlone();
    if (!this.#over) this.#source.start(this);
  }

  write(chunk: Buffer): boolean {
    if (this.#over) return true;
    this.#writing = true;
    this.#take(chunk);
    this.#pump();
    this.#writing = false;
    if (this.isKept) return true;
    this.#trim();
    this.#paused = this.#bytes >= HIGH_WATER_BYTES;
    return !this.#paused;
  }

  end(last?: Buffer, trailers?: string[]): void {
    if (this.#over) return;
    if (last !== undefined && last.length > 0) this.#take(last);
    this.#ended = true;
    this.#trailers = trailers;
    if (this.isKept) this.#complete();
    this.#pump();
  }

  fail(error: Error): void {
    if (this.#over) return;
    this.#giveUp("broken");
    this.#error = error;
    for (const reader of this.#readers.slice()) reader.break(error);
    this.#finish();
  }

  #pump(): void {
    if (this.#readers.length === 1) this.#readers[0]!.pump();
    else for (const reader of this.#readers.slice()) reader.pump();
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (!this.isKept) return;
    this.#counted += chunk.length;
    this.#passing.bytes += chunk.length;
    if (this.#bytes > this.#maxBytes) this.#giveUp("too-large");
    else if (this.#passing.bytes > this.#passing.maxBytes) this.#giveUp("memory");
  }

  #complete(): void {
    if (this.length !== undefined && this.length !== this.#bytes) return this.#giveUp("broken");
    const bytes = Buffer.allocUnsafeSlow(this.#bytes);
    let at = 0;
    for (const [i, chunk] of this.#chunks.entries()) {
      const end = at + chunk.copy(bytes, at);
      this.#chunks[i] = bytes.subarray(at, end); // readers hold what is stored, and nothing beside it
      at = end;
    }
    this.#maxBytes = -1;
    this.#release();
    this.#listener.onFilled(bytes);
    if (this.#readers.length === 0) this.#finish();
    else this.#loan = this.#passing.lend(bytes);
  }

  #giveUp(reason: GivenUp): void {
    if (!this.isKept) return;
    this.#maxBytes = -1;
    this.#listener.onGivenUp(reason);
    if (this.#started && this.#readers.length === 0) this.#cancel();
  }

  /** Lets go of what all readers have taken. */
  #trim(): void {
    let least = Number.POSITIVE_INFINITY;
    for (const { position } of this.#readers) least = Math.min(least, position);
    while (this.#chunks.length > 0 && this.#dropped < least) {
      this.#bytes -= this.#chunks.shift()!.length;
      this.#dropped++;
    }
    if (this.#bytes < HIGH_WATER_BYTES) this.#release();
  }

  /** What it holds is no more than every reply that is under way may. */
  #release(): void {
    this.#passing.bytes -= this.#counted;
    this.#counted = 0;
  }

  chunkAt(position: number): Buffer | undefined {
    return this.#chunks[position - this.#dropped];
  }

  isEndAt(position: number): boolean {
    return this.#ended && position - this.#dropped >= this.#chunks.length;
  }

  get error(): Error | undefined {
    return this.#error;
  }

  get trailers(): string[] | undefined {
    return this.#trailers;
  }

  onTaken(): void {
    if (this.isKept || this.#writing || this.#over) return;
    this.#trim();
    if (!this.#paused || this.#bytes >= HIGH_WATER_BYTES) return;
    this.#paused = false;
    this.#source.resume();
  }

  leave(reader: Reader): void {
    const at = this.#readers.indexOf(reader);
    if (at === -1) return;
    this.#readers.splice(at, 1);
    if (this.#readers.length > 0) return this.onTaken();
    if (this.#ended) this.#finish();
    else if (this.#started) this.#onAlone();
  }

  #onAlone(): void {
    if (!this.isKept) return this.#cancel();
    this.#timer = setTimeout(onAloneForLong, LONGEST_ALONE_MS, this);
    this.#timer.unref();
  }

  giveUpAlone(): void {
    this.#giveUp("abandoned");
  }

  #cancel(): void {
    if (this.#over) return;
    this.#finish();
    this.#source.cancel();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#timer);
    this.#chunks.length = 0;
    this.#release();
    this.#loan?.onExchangeEnd();
    this.#listener.onDone();
  }
}

function onAloneForLong(fill: Fill): void {
  fill.giveUpAlone();
}
