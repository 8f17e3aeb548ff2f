/**
 * Bodies of requests and replies. A body is a push source: it does nothing until a sink is attached, then
 * writes chunks, waiting whenever the sink says so. Nothing is buffered unless somebody asks with a cap.
 */
import { Readable } from "node:stream";

/** Where a body goes. */
export interface Sink {
  /** Takes a chunk; `false` means: send no more until {@link Body.resume}. */
  write(chunk: Buffer): boolean;
  /** The body is complete. `last` is a final chunk, `trailers` is flat `[name, value, …]`. */
  end(last?: Buffer, trailers?: string[]): void;
  /** The body broke off; nothing follows. */
  fail(error: Error): void;
}

/** A body that has not been read yet. It can be started once. */
export interface Body {
  /** Bytes, when known before reading. */
  readonly length: number | undefined;
  /** Begins to deliver to `sink`. */
  start(sink: Sink): void;
  /** Goes on after a `write` that returned false. */
  resume(): void;
  /** Nobody wants the rest: frees what is behind it. Safe to call at any time, more than once. */
  cancel(reason?: Error): void;
}

/** A body that is wholly in memory. Unlike others, it may be started again. */
export class BytesBody implements Body {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get length(): number {
    return this.bytes.length;
  }

  start(sink: Sink): void {
    sink.end(this.bytes);
  }

  resume(): void {}

  cancel(): void {}
}

/** What is left of a body that could not be read: whoever wants it hears why. */
export class BrokenBody implements Body {
  readonly length = undefined;
  readonly #error: Error;

  constructor(error: Error) {
    this.#error = error;
  }

  start(sink: Sink): void {
    sink.fail(this.#error);
  }

  resume(): void {}

  cancel(): void {}
}

/** What a {@link QueuedBody} needs of whatever fills it. */
export interface Producer {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}

/**
 * A body that something else fills. Chunks that come before a sink is attached are queued, up to
 * {@link QueuedBody.highWaterMark} bytes; a small reply that is complete by then leaves in one piece.
 */
export class QueuedBody implements Body {
  static readonly highWaterMark = 64 * 1024;

  readonly length: number | undefined;
  #producer: Producer | undefined;
  #sink: Sink | undefined;
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  #blocked = false;
  #paused = false;
  #ended = false;
  #trailers: string[] | undefined;
  #error: Error | undefined;

  constructor(producer: Producer, length: number | undefined) {
    this.#producer = producer;
    this.length = length;
  }

  /** The producer's side: a chunk came. */
  push(chunk: Buffer): void {
    if (this.#error !== undefined) return;
    if (this.#sink !== undefined && !this.#blocked && this.#queue.length === 0) {
      if (!this.#sink.write(chunk)) this.#block();
      return;
    }
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes >= QueuedBody.highWaterMark) this.#pause();
  }

  /** The producer's side: complete. */
  finish(trailers?: string[]): void {
    this.#ended = true;
    this.#trailers = trailers;
    this.#producer = undefined;
    if (this.#sink !== undefined && !this.#blocked) this.#flush();
  }

  /** The producer's side: broke off. */
  break(error: Error): void {
    this.#error = error;
    this.#producer = undefined;
    this.#sink?.fail(error);
  }

  start(sink: Sink): void {
    this.#sink = sink;
    if (this.#error !== undefined) sink.fail(this.#error);
    else this.#flush();
  }

  resume(): void {
    if (!this.#blocked || this.#error !== undefined) return;
    this.#blocked = false;
    this.#flush();
  }

  cancel(reason: Error = new Error("body not wanted")): void {
    this.#error ??= reason; // what was queued is gone: a sink that comes later must not take it for an empty body
    this.#queue.length = 0;
    const producer = this.#producer;
    this.#producer = undefined;
    producer?.abort(reason);
  }

  #flush(): void {
    const sink = this.#sink!;
    const queue = this.#queue;
    while (queue.length > 0) {
      if (this.#ended && queue.length === 1) break;
      const chunk = queue.shift()!;
      this.#queuedBytes -= chunk.length;
      if (!sink.write(chunk)) return this.#block();
    }
    if (this.#error !== undefined) return; // cancelled by the sink meanwhile
    if (this.#ended) sink.end(queue.shift(), this.#trailers);
    else if (this.#paused) {
      this.#paused = false;
      this.#producer?.resume();
    }
  }

  #block(): void {
    this.#blocked = true;
    this.#pause();
  }

  #pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#producer?.pause();
  }
}

/** A Node stream as a body: for transforms such as compression. */
export class StreamBody implements Body {
  readonly length: number | undefined;
  readonly #stream: Readable;

  constructor(stream: Readable, length?: number) {
    this.#stream = stream;
    this.length = length;
    stream.on("error", () => {}); // a failure before the sink is attached is told to the sink in start()
  }

  start(sink: Sink): void {
    const stream = this.#stream;
    if (stream.destroyed) return sink.fail(stream.errored ?? new Error("stream closed early"));
    let done = false;
    const fail = (error: Error): void => {
      if (done) return;
      done = true;
      sink.fail(error);
    };
    stream.on("data", (chunk: Buffer) => {
      if (!sink.write(chunk)) stream.pause();
    });
    stream.on("end", () => {
      if (done) return;
      done = true;
      sink.end();
    });
    stream.on("error", fail);
    stream.on("close", () => fail(new Error("stream closed early")));
  }

  resume(): void {
    this.#stream.resume();
  }

  cancel(reason?: Error): void {
    this.#stream.destroy(reason);
  }
}

/** A body as a Node stream, for libraries that want one. Destroying the stream cancels the body. */
export function toReadable(body: Body): Readable {
  let started = false;
  const readable = new Readable({
    read() {
      if (started) return body.resume();
      started = true;
      body.start({
        write: (chunk) => readable.push(chunk),
        end: (last) => {
          if (last !== undefined && last.length > 0) readable.push(last);
          readable.push(null);
        },
        fail: (error) => readable.destroy(error),
      });
    },
    destroy(error, callback) {
      body.cancel(error ?? undefined);
      callback(error);
    },
  });
  return readable;
}

/** Raised by {@link collect} when a body is longer than asked for. */
export class BodyTooLarge extends Error {
  override readonly name = "BodyTooLarge";
  readonly maxBytes: number;

  constructor(maxBytes: number) {
    super(`The body is larger than ${maxBytes} bytes`);
    this.maxBytes = maxBytes;
  }
}

/**
 * Reads a whole body into memory.
 * @throws BodyTooLarge beyond `maxBytes`; the body is cancelled
 */
export function collect(body: Body, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (body.length !== undefined && body.length > maxBytes) {
      const error = new BodyTooLarge(maxBytes);
      body.cancel(error);
      return reject(error);
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    let settled = false;
    const take = (chunk: Buffer): boolean => {
      if (settled) return true;
      bytes += chunk.length;
      if (bytes <= maxBytes) {
        chunks.push(chunk);
        return true;
      }
      settled = true;
      const error = new BodyTooLarge(maxBytes);
      body.cancel(error);
      reject(error);
      return true;
    };
    body.start({
      write: take,
      end(last) {
        if (last !== undefined) take(last);
        if (settled) return;
        settled = true;
        resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
      },
      fail(error) {
        if (settled) return;
        settled = true;
        reject(error);
      },
    });
  });
}
