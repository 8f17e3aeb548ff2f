import { PassThrough, Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Body,
  BodyTooLarge,
  BrokenBody,
  BytesBody,
  collect,
  QueuedBody,
  type Sink,
  StreamBody,
  toReadable,
} from "../../core/body.ts";
import { FakeProducer } from "../support/bodies.ts";

/** A sink that keeps what it got, and takes more or not, as told. */
class FakeSink implements Sink {
  readonly got: string[] = [];
  takesMore = true;
  write(chunk: Buffer): boolean {
    this.got.push(chunk.toString());
    return this.takesMore;
  }
  end(last?: Buffer, trailers?: string[]): void {
    this.got.push(`end ${last?.toString() ?? "-"}${trailers === undefined ? "" : ` ${trailers.join("=")}`}`);
  }
  fail(error: Error): void {
    this.got.push(`fail ${error.message}`);
  }
}

function queued(length?: number) {
  const producer = new FakeProducer();
  const sink = new FakeSink();
  return { producer, sink, body: new QueuedBody(producer, length) };
}

const bytes = (text: string): Buffer => Buffer.from(text);
const closed = (stream: Readable): Promise<unknown> =>
  new Promise((resolve) => stream.once("close", resolve));

describe("BytesBody", () => {
  it("ends with its bytes in one piece, as often as it is started", async () => {
    const body = new BytesBody(bytes("abc"));
    expect(body.length).toBe(3);
    for (let i = 0; i < 2; i++) {
      const sink = new FakeSink();
      body.start(sink);
      expect(sink.got).toEqual(["end abc"]);
    }
    body.resume();
    body.cancel();
    expect((await collect(body, 3)).toString()).toBe("abc");
  });
});

describe("BrokenBody", () => {
  it("fails whoever starts it, with its reason", async () => {
    const body = new BrokenBody(new Error("lost"));
    body.resume();
    body.cancel();
    expect(body.length).toBeUndefined();
    await expect(collect(body, 10)).rejects.toThrow("lost");
  });
});

describe("QueuedBody", () => {
  it("gives a body that is complete before it is started in one piece", () => {
    const { body, sink, producer } = queued(3);
    expect(body.length).toBe(3);
    body.push(bytes("abc"));
    body.finish();
    body.start(sink);
    expect(sink.got).toEqual(["end abc"]);
    expect(producer.told).toEqual([]);
  });

  it("gives what came before in order, the last piece with the end and the trailers", () => {
    const { body, sink } = queued();
    for (const text of ["a", "b", "c"]) body.push(bytes(text));
    body.finish(["x", "1"]);
    body.start(sink);
    expect(sink.got).toEqual(["a", "b", "end c x=1"]);
  });

  it("passes on at once what comes after it was started", () => {
    const { body, sink } = queued();
    body.start(sink);
    body.push(bytes("a"));
    body.push(bytes("b"));
    body.finish();
    expect(sink.got).toEqual(["a", "b", "end -"]);
  });

  it("ends an empty body without a piece", () => {
    const { body, sink } = queued(0);
    body.finish();
    body.start(sink);
    expect(sink.got).toEqual(["end -"]);
  });

  it("pauses the producer once the queue is full, and resumes it when it has run empty", () => {
    const { body, sink, producer } = queued();
    body.push(Buffer.alloc(QueuedBody.highWaterMark - 1));
    expect(producer.told).toEqual([]);
    body.push(Buffer.alloc(1));
    body.push(Buffer.alloc(1));
    expect(producer.told).toEqual(["pause"]);
    body.start(sink);
    expect(sink.got).toHaveLength(3);
    expect(producer.told).toEqual(["pause", "resume"]);
  });

  it("does not resume a producer that was never paused", () => {
    const { body, sink, producer } = queued();
    body.push(bytes("a"));
    body.start(sink);
    body.resume();
    expect(producer.told).toEqual([]);
  });

  it("holds back while the sink takes no more, and goes on in order", () => {
    const { body, sink, producer } = queued();
    body.start(sink);
    sink.takesMore = false;
    body.push(bytes("a"));
    expect(producer.told).toEqual(["pause"]);
    body.push(bytes("b")); // was on its way already
    body.push(bytes("c"));
    expect(sink.got).toEqual(["a"]);
    body.resume();
    expect(sink.got).toEqual(["a", "b"]);
    sink.takesMore = true;
    body.resume();
    expect(sink.got).toEqual(["a", "b", "c"]);
    expect(producer.told).toEqual(["pause", "resume"]);
    body.push(bytes("d"));
    expect(sink.got).toEqual(["a", "b", "c", "d"]);
  });

  it("keeps the end back while the sink takes no more", () => {
    const { body, sink } = queued();
    body.start(sink);
    sink.takesMore = false;
    body.push(bytes("a"));
    body.finish(["x", "1"]);
    expect(sink.got).toEqual(["a"]);
    body.resume();
    expect(sink.got).toEqual(["a", "end - x=1"]);
  });

  it("tells the sink when it breaks off, before or after it was started", () => {
    for (const startFirst of [true, false]) {
      const { body, sink } = queued();
      if (startFirst) body.start(sink);
      body.push(bytes("a"));
      body.break(new Error("reset"));
      if (!startFirst) body.start(sink);
      expect(sink.got).toEqual(startFirst ? ["a", "fail reset"] : ["fail reset"]);
    }
  });

  it("gives nothing more once it broke off", () => {
    const { body, sink } = queued();
    body.start(sink);
    sink.takesMore = false;
    body.push(bytes("a"));
    body.push(bytes("b"));
    body.break(new Error("reset"));
    body.resume();
    body.push(bytes("c"));
    body.finish();
    expect(sink.got).toEqual(["a", "fail reset"]);
  });

  it("aborts the producer when it is cancelled, once", () => {
    const { body, producer } = queued();
    body.push(bytes("a"));
    body.cancel();
    body.cancel(new Error("again"));
    expect(producer.told).toEqual(["abort: body not wanted"]);
  });

  it("tells the producer why it is cancelled, and the sink what the producer makes of it", () => {
    const { body, sink, producer } = queued();
    producer.onAbort = (reason) => body.break(reason);
    body.start(sink);
    body.cancel(new Error("client gone"));
    expect(producer.told).toEqual(["abort: client gone"]);
    expect(sink.got).toEqual(["fail client gone"]);
  });

  it("is not an empty body after it was cancelled, but a broken one", () => {
    const { body, sink } = queued();
    body.push(bytes("a"));
    body.finish();
    body.cancel(new Error("not wanted"));
    body.start(sink);
    expect(sink.got).toEqual(["fail not wanted"]);
  });

  it("stops at once when its sink cancels it in the middle", () => {
    const { body } = queued();
    const got: string[] = [];
    for (const text of ["a", "b", "c"]) body.push(bytes(text));
    body.finish();
    body.start({
      write(chunk) {
        got.push(chunk.toString());
        body.cancel();
        return true;
      },
      end: () => void got.push("end"),
      fail: () => void got.push("fail"),
    });
    expect(got).toEqual(["a"]);
  });

  it("gives the same bytes in order under any pattern of back-pressure, within bounded memory", () => {
    const step = fc.oneof(
      fc.record({ push: fc.uint8Array({ minLength: 1, maxLength: 40_000 }) }),
      fc.constantFrom("resume", "block", "unblock", "start"),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { producer, body } = queued();
        const sent: Buffer[] = [];
        const got: Buffer[] = [];
        let [takesMore, started, ended] = [true, false, 0];
        const start = (): void => {
          if (started) return;
          started = true;
          body.start({
            write(chunk) {
              got.push(chunk);
              return takesMore;
            },
            end(last) {
              if (last !== undefined) got.push(last);
              ended++;
            },
            fail: () => expect.unreachable(),
          });
        };
        for (const each of steps) {
          if (typeof each === "object") {
            const isPaused = producer.told.at(-1) === "pause";
            if (isPaused) continue; // a producer that does as it is told
            const chunk = Buffer.from(each.push);
            sent.push(chunk);
            body.push(chunk);
          } else if (each === "start") start();
          else if (each === "resume") {
            if (started) body.resume();
          } else takesMore = each === "unblock";
        }
        expect(producer.told.every((word, i) => word === (i % 2 === 0 ? "pause" : "resume"))).toBe(true);
        body.finish();
        start();
        takesMore = true;
        for (let i = 0; i < 3; i++) body.resume();
        expect(Buffer.concat(got).equals(Buffer.concat(sent))).toBe(true);
        expect(ended).toBe(1);
      }),
    );
  });
});

describe("StreamBody", () => {
  it("fails a sink that comes after the stream was closed", async () => {
    for (const reason of [undefined, new Error("broken")]) {
      const stream = new PassThrough();
      const body = new StreamBody(stream);
      const end = closed(stream);
      stream.destroy(reason);
      await end;
      await expect(collect(body, 10)).rejects.toThrow(reason?.message ?? "stream closed early");
    }
  });

  it("gives what the stream gives", async () => {
    const body = new StreamBody(Readable.from([bytes("ab"), bytes("cd")]), 4);
    expect(body.length).toBe(4);
    expect((await collect(body, 10)).toString()).toBe("abcd");
  });

  it("fails its sink once, when the stream fails or is closed early", async () => {
    for (const reason of [undefined, new Error("broken")]) {
      const stream = new PassThrough();
      const sink = new FakeSink();
      new StreamBody(stream).start(sink);
      const end = closed(stream);
      stream.destroy(reason);
      await end;
      expect(sink.got).toEqual([`fail ${reason?.message ?? "stream closed early"}`]);
    }
  });

  it("pauses the stream while the sink takes no more", async () => {
    const stream = new PassThrough();
    const sink = new FakeSink();
    const body = new StreamBody(stream);
    sink.takesMore = false;
    body.start(sink);
    stream.write("a");
    await expect.poll(() => sink.got).toEqual(["a"]);
    expect(stream.isPaused()).toBe(true);
    stream.end("b");
    body.resume();
    await expect.poll(() => sink.got).toEqual(["a", "b", "end -"]);
  });

  it("destroys the stream when it is cancelled", async () => {
    const stream = new PassThrough();
    const end = closed(stream);
    new StreamBody(stream).cancel(new Error("not wanted"));
    await end;
    expect(stream.errored?.message).toBe("not wanted");
  });
});

describe("toReadable", () => {
  it("makes a stream of a body", async () => {
    expect((await buffer(toReadable(new BytesBody(bytes("abcd"))))).toString()).toBe("abcd");
    expect((await buffer(toReadable(new BytesBody(Buffer.alloc(0))))).length).toBe(0);
  });

  it("does not start the body before somebody reads", () => {
    let started = false;
    toReadable({
      length: undefined,
      start: () => (started = true),
      resume() {},
      cancel() {},
    } as unknown as Body);
    expect(started).toBe(false);
  });

  it("holds the body back while the stream is full, and goes on when it is read", async () => {
    const { body, producer } = queued();
    const stream = toReadable(body);
    stream.read(0);
    for (let i = 0; i < 8; i++) body.push(Buffer.alloc(16_384, i));
    expect(producer.told).toEqual(["pause"]);
    body.finish();
    expect((await buffer(stream)).length).toBe(8 * 16_384);
  });

  it("fails when the body does", async () => {
    const { body } = queued();
    const stream = toReadable(body);
    const result = buffer(stream);
    body.break(new Error("reset"));
    await expect(result).rejects.toThrow("reset");
  });

  it("cancels the body when it is destroyed", async () => {
    for (const reason of [new Error("gone"), undefined]) {
      const { body, producer } = queued();
      const stream = toReadable(body);
      stream.on("error", () => {});
      const end = closed(stream);
      stream.destroy(reason);
      await end;
      expect(producer.told).toEqual([`abort: ${reason?.message ?? "body not wanted"}`]);
    }
  });

  it("gives the same bytes as the body, however it is cut", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 30_000 }), { maxLength: 12 }),
        fc.nat(12),
        async (chunks, early) => {
          const { body, producer } = queued();
          const all = chunks.map((chunk) => Buffer.from(chunk));
          for (const chunk of all.slice(0, early)) body.push(chunk);
          const result = buffer(toReadable(new StreamBody(toReadable(body))));
          for (const chunk of all.slice(early)) {
            body.push(chunk);
            if (chunk.length % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
          }
          body.finish();
          expect((await result).equals(Buffer.concat(all))).toBe(true);
          expect(producer.told.join()).not.toContain("abort");
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("collect", () => {
  it("gives all bytes, up to exactly the cap", async () => {
    const { body } = queued();
    const result = collect(body, 4);
    body.push(bytes("ab"));
    body.push(bytes("cd"));
    body.finish();
    expect((await result).toString()).toBe("abcd");
  });

  it("does not copy a body of one piece", async () => {
    const one = bytes("abc");
    expect(await collect(new BytesBody(one), 3)).toBe(one);
  });

  it("refuses a body that says it is longer, without starting it", async () => {
    const { body, producer } = queued(5);
    await expect(collect(body, 4)).rejects.toThrow(new BodyTooLarge(4));
    expect(producer.told).toEqual(["abort: The body is larger than 4 bytes"]);
  });

  it("refuses and cancels a body that turns out longer", async () => {
    const { body, producer } = queued();
    const result = collect(body, 4);
    body.push(bytes("abc"));
    body.push(bytes("de"));
    body.push(bytes("more")); // was on its way already
    await expect(result).rejects.toMatchObject({ name: "BodyTooLarge", maxBytes: 4 });
    expect(producer.told).toEqual(["abort: The body is larger than 4 bytes"]);
  });

  it("settles once, whatever the body does after", async () => {
    let sink: Sink | undefined;
    const result = collect(
      { length: undefined, start: (s: Sink) => (sink = s), resume() {}, cancel() {} } as unknown as Body,
      2,
    );
    sink!.write(bytes("abc"));
    expect(sink!.write(bytes("d"))).toBe(true);
    sink!.end(bytes("e"));
    sink!.fail(new Error("late"));
    await expect(result).rejects.toBeInstanceOf(BodyTooLarge);
  });

  it("refuses a last piece that is too much", async () => {
    const { body } = queued();
    body.push(bytes("abc"));
    body.finish();
    await expect(collect(body, 2)).rejects.toBeInstanceOf(BodyTooLarge);
  });

  it("fails when the body does", async () => {
    const { body } = queued();
    const result = collect(body, 4);
    body.break(new Error("reset"));
    await expect(result).rejects.toThrow("reset");
  });
});
