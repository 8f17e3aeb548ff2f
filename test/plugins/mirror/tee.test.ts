import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Body, BytesBody, QueuedBody, type Sink } from "../../../core/body.ts";
import { type CopyListener, TeeBody } from "../../../plugins/mirror/tee.ts";
import { FakeProducer } from "../../support/bodies.ts";

/** What was told of a copy. */
class Told implements CopyListener {
  readonly told: (string | Buffer)[] = [];
  onCopied(bytes: Buffer): void {
    this.told.push(bytes);
  }
  onNotCopied(): void {
    this.told.push("not copied");
  }
}

/** A sink that keeps what it got, and wants a pause after every so many chunks. */
class FakeSink implements Sink {
  readonly chunks: Buffer[] = [];
  ended = 0;
  failed: Error | undefined;
  trailers: string[] | undefined;
  readonly #pauseEvery: number;
  constructor(pauseEvery = Number.POSITIVE_INFINITY) {
    this.#pauseEvery = pauseEvery;
  }
  write(chunk: Buffer): boolean {
    this.chunks.push(chunk);
    return this.chunks.length % this.#pauseEvery !== 0;
  }
  end(last?: Buffer, trailers?: string[]): void {
    if (last !== undefined) this.chunks.push(last);
    this.trailers = trailers;
    this.ended++;
  }
  fail(error: Error): void {
    this.failed = error;
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
}

function teed(maxBytes = 100) {
  const producer = new FakeProducer();
  const source = new QueuedBody(producer, undefined);
  const listener = new Told();
  return { producer, source, listener, tee: new TeeBody(source, maxBytes, listener) };
}

const bytes = (text: string): Buffer => Buffer.from(text);

describe("a teed body", () => {
  it("gives the same bytes to both sides, however they come and whenever there are pauses", () => {
    const chunk = fc.uint8Array({ minLength: 0, maxLength: 40 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(
        fc.array(chunk, { maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        fc.nat(12),
        fc.nat(300),
        (chunks, pauseEvery, startAt, maxBytes) => {
          const { source, listener, tee } = teed(maxBytes);
          const sink = new FakeSink(pauseEvery);
          for (const [i, each] of chunks.entries()) {
            if (i === startAt) tee.start(sink);
            source.push(each);
            if (i % 2 === 0) tee.resume();
          }
          source.finish();
          if (chunks.length <= startAt) tee.start(sink);
          for (let i = 0; i < chunks.length + 1; i++) tee.resume();
          const whole = Buffer.concat(chunks);
          expect(sink.bytes.equals(whole)).toBe(true);
          expect(sink.ended).toBe(1);
          expect(listener.told).toEqual([whole.length <= maxBytes ? whole : "not copied"]);
        },
      ),
    );
  });

  it("waits when the main side does, and goes on with it", () => {
    const { producer, source, listener, tee } = teed();
    const sink = new FakeSink(1);
    tee.start(sink);
    source.push(bytes("a"));
    expect(producer.told).toEqual(["pause"]);
    source.push(bytes("b"));
    expect(sink.bytes.toString()).toBe("a");
    tee.resume();
    source.push(bytes("c"));
    source.finish();
    expect(listener.told).toEqual([]);
    tee.resume();
    tee.resume();
    expect([sink.bytes.toString(), listener.told]).toEqual(["abc", [bytes("abc")]]);
  });

  it("does nothing until it is started, and knows its length", () => {
    const started: Sink[] = [];
    const body: Body = { length: 7, start: (sink) => void started.push(sink), resume() {}, cancel() {} };
    const tee = new TeeBody(body, 10, new Told());
    expect([tee.length, started.length]).toEqual([7, 0]);
    tee.start(new FakeSink());
    expect(started).toHaveLength(1);
  });

  it("gives up the copy beyond the limit, and the main side gets everything", () => {
    const { source, listener, tee } = teed(3);
    const sink = new FakeSink();
    tee.start(sink);
    source.push(bytes("ab"));
    source.push(bytes("cd"));
    expect(listener.told).toEqual(["not copied"]);
    source.push(bytes("e"));
    source.finish();
    expect([sink.bytes.toString(), sink.ended, listener.told]).toEqual(["abcde", 1, ["not copied"]]);
  });

  it("copies a body of exactly the limit", () => {
    const listener = new Told();
    new TeeBody(new BytesBody(bytes("abc")), 3, listener).start(new FakeSink());
    expect(listener.told).toEqual([bytes("abc")]);
  });

  it("gives up the copy when the body breaks off, and tells the main side why", () => {
    const { source, listener, tee } = teed();
    const sink = new FakeSink();
    tee.start(sink);
    source.push(bytes("ab"));
    source.break(new Error("gone"));
    expect([sink.failed?.message, sink.ended, listener.told]).toEqual(["gone", 0, ["not copied"]]);
  });

  it("gives up the copy when the main side wants no more, and tells the source", () => {
    const { producer, source, listener, tee } = teed();
    tee.start(new FakeSink());
    source.push(bytes("ab"));
    tee.cancel(new Error("enough"));
    tee.cancel();
    expect([producer.told, listener.told]).toEqual([["abort: enough"], ["not copied"]]);
  });

  it("has a copy even if the main side wants no more with the last byte", () => {
    const { source, listener, tee } = teed();
    const sink = new FakeSink();
    sink.end = () => tee.cancel();
    tee.start(sink);
    source.push(bytes("ab"));
    source.finish();
    expect(listener.told).toEqual([bytes("ab")]);
  });

  it("passes trailers on", () => {
    const { source, tee } = teed();
    const sink = new FakeSink();
    tee.start(sink);
    source.finish(["a", "b"]);
    expect(sink.trailers).toEqual(["a", "b"]);
  });

  it("stops copying when told, and the body goes on", () => {
    const { source, listener, tee } = teed();
    const sink = new FakeSink();
    tee.start(sink);
    source.push(bytes("a"));
    tee.giveUp();
    source.push(bytes("b"));
    source.finish();
    expect([sink.bytes.toString(), sink.ended, listener.told]).toEqual(["ab", 1, ["not copied"]]);
  });
});
