/** A body that is compressed on its way. */
import { type Body, HeaderList, type Sink } from "../../core/plugin.ts";
import { STALE_AFTER_EDIT } from "../../core/message.ts";
import type { CompressStream } from "./codings.ts";

/** What a {@link CompressedBody} needs of a coding. */
export interface Compressor {
  readonly flushKind: number;
  open(): CompressStream;
}

/**
 * Drives a zlib stream between a source and a sink: a full sink pauses the compressor, a full compressor the
 * source; a source that breaks fails the sink; a cancel frees the compressor and the source. What was put in
 * comes out after `flushAfterMs` at the latest, so that a slow source is not held back.
 */
export class CompressedBody implements Body {
  readonly length = undefined;
  readonly #source: Body;
  readonly #compressor: Compressor;
  readonly #flushAfterMs: number;
  #stream: CompressStream | undefined;
  #timer: NodeJS.Timeout | undefined;
  #trailers: string[] | undefined;
  #done = false;

  constructor(source: Body, compressor: Compressor, flushAfterMs: number) {
    this.#source = source;
    this.#compressor = compressor;
    this.#flushAfterMs = flushAfterMs;
  }

  start(sink: Sink): void {
    const stream = this.#compressor.open();
    this.#stream = stream;
    stream.on("data", (chunk: Buffer) => {
      if (!this.#done && !sink.write(chunk)) stream.pause();
    });
    stream.on("end", () => {
      if (this.#close()) sink.end(undefined, this.#trailers);
    });
    stream.on("error", (error) => {
      this.#source.cancel(error);
      if (this.#close()) sink.fail(error);
    });
    stream.on("drain", () => this.#source.resume());
    this.#source.start({
      write: (chunk) => {
        if (this.#done) return true;
        const more = stream.write(chunk);
        this.#flushInTime(stream);
        return more;
      },
      end: (last, trailers) => {
        if (this.#done) return;
        clearTimeout(this.#timer);
        this.#trailers = trailers && withoutDigests(trailers);
        stream.end(last);
      },
      fail: (error) => {
        if (this.#close()) sink.fail(error);
      },
    });
  }

  resume(): void {
    this.#stream?.resume();
  }

  cancel(reason?: Error): void {
    this.#close();
    this.#source.cancel(reason);
  }

  #flushInTime(stream: CompressStream): void {
    const { flushKind } = this.#compressor;
    if (this.#flushAfterMs === 0) return stream.flush(flushKind);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      stream.flush(flushKind);
    }, this.#flushAfterMs);
  }

  /** Frees what is open; true the first time, when the sink may still be told. */
  #close(): boolean {
    if (this.#done) return false;
    this.#done = true;
    clearTimeout(this.#timer);
    this.#stream?.destroy();
    return true;
  }
}

/** Digests in trailers are of the bytes that came in (RFC 9530). */
function withoutDigests(trailers: string[]): string[] {
  const list = new HeaderList(trailers);
  for (const name of STALE_AFTER_EDIT) list.delete(name);
  return list.raw;
}
