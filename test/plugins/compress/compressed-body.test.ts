import { brotliDecompressSync, constants, gunzipSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Body, collect, QueuedBody, type Sink } from "../../../core/body.ts";
import { type CodingName, type CompressStream, createCoding } from "../../../plugins/compress/codings.ts";
import { CompressedBody } from "../../../plugins/compress/compressed-body.ts";

const decompress: Record<CodingName, (bytes: Buffer) => Buffer> = {
  gzip: gunzipSync,
  br: brotliDecompressSync,
  zstd: zstdDecompressSync,
};
/** Decodes as much as there is of a stream that has not ended. */
const decompressPart: Record<CodingName, (bytes: Buffer) => Buffer> = {
  gzip: (bytes) => gunzipSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH }),
  br: (bytes) => brotliDecompressSync(bytes, { finishFlush: constants.BROTLI_OPERATION_FLUSH }),
  zstd: (bytes) => zstdDecompressSync(bytes, { finishFlush: constants.ZSTD_e_flush }),
};
const NAMES = ["gzip", "br", "zstd"] as const;

/** A source under the test's control. */
class FakeSource implements Body {
  readonly length = undefined;
  sink!: Sink;
  resumed = 0;
  cancelled: (Error | undefined)[] = [];
  onResume = (): void => {};

  start(sink: Sink): void {
    this.sink = sink;
  }
  resume(): void {
    this.resumed++;
    this.onResume();
  }
  cancel(reason?: Error): void {
    this.cancelled.push(reason);
  }
}

/** A sink that keeps what it is told. */
class FakeSink implements Sink {
  readonly chunks: Buffer[] = [];
  readonly events: string[] = [];
  trailers: string[] | undefined;
  accepts = true;
  #waiting: (() => void)[] = [];

  #tell(event: string): void {
    this.events.push(event);
    for (const wake of this.#waiting.splice(0)) wake();
  }
  write(chunk: Buffer): boolean {
    this.chunks.push(chunk);
    this.#tell("write");
    return this.accepts;
  }
  end(last?: Buffer, trailers?: string[]): void {
    if (last !== undefined) this.chunks.push(last);
    this.trailers = trailers;
    this.#tell("end");
  }
  fail(error: Error): void {
    this.#tell(`fail ${error.message}`);
  }
  get bytes(): Buffer {
    return Buffer.concat(this.chunks);
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
  has(event: string): boolean {
    return this.events.some((e) => e.startsWith(event));
  }
}

function open(name: CodingName = "gzip", flushAfterMs = 60_000) {
  const source = new FakeSource();
  const coding = createCoding(name, name === "gzip" ? 6 : 3);
  const streams: CompressStream[] = [];
  const compressor = {
    flushKind: coding.flushKind,
    open: () => {
      streams.push(coding.open());
      return streams[0]!;
    },
  };
  return {
    source,
    streams,
    body: new CompressedBody(source, compressor, flushAfterMs),
    sink: new FakeSink(),
  };
}

const noise = (bytes: number): Buffer => {
  const out = Buffer.alloc(bytes);
  for (let i = 0, state = 1; i < bytes; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    out[i] = state >>> 16;
  }
  return out;
};

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("CompressedBody", () => {
  it.each(NAMES)("gives back every body in any chunking and at any pace: %s", async (name) => {
    const chunk = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 0, max: 100_000 }).map((n) => new Uint8Array(n).fill(n)),
      fc.integer({ min: 0, max: 100_000 }).map(noise),
    );
    const flushes = fc.constantFrom(0, 1, 60_000);
    await fc.assert(
      fc.asyncProperty(
        fc.array(chunk, { maxLength: 8 }),
        flushes,
        fc.array(fc.boolean()),
        async (parts, flush, pace) => {
          const chunks = parts.map((part) => Buffer.from(part));
          const source = new QueuedBody({ pause() {}, resume() {}, abort() {} }, undefined);
          const body = new CompressedBody(source, createCoding(name, 1), flush);
          const sink = new FakeSink();
          let step = 0;
          const slow: Sink = {
            write(bytes) {
              sink.write(bytes);
              if (pace[step++ % (pace.length || 1)] !== true) return true;
              setImmediate(() => body.resume());
              return false;
            },
            end: (last, trailers) => sink.end(last, trailers),
            fail: (error) => sink.fail(error),
          };
          body.start(slow);
          for (const [i, bytes] of chunks.entries()) {
            source.push(bytes);
            if (pace[i] === true) await turn();
          }
          source.finish();
          await sink.until(() => sink.has("end") || sink.has("fail"));
          expect(sink.has("end")).toBe(true);
          expect(decompress[name](sink.bytes).equals(Buffer.concat(chunks))).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("stops the source while its sink is full, and goes on with it", async () => {
    const { source, body, sink } = open();
    sink.accepts = false;
    body.start(sink);
    const chunk = noise(64 * 1024);
    let written = 0;
    const writeWhileAllowed = () => {
      let more = true;
      while (more && written < 200) {
        more = source.sink.write(chunk);
        written++;
      }
      if (written === 200) source.sink.end();
    };
    source.onResume = writeWhileAllowed;
    writeWhileAllowed();
    await sink.until(() => sink.has("write"));
    for (let i = 0; i < 50; i++) await turn();
    expect(written).toBeLessThan(10);
    sink.accepts = true;
    body.resume();
    await sink.until(() => sink.has("end"));
    expect(written).toBe(200);
    expect(gunzipSync(sink.bytes).length).toBe(200 * chunk.length);
  });

  it.each(NAMES)("lets a piece out while the source is silent: %s", async (name) => {
    for (const flushAfterMs of [0, 1]) {
      const { source, body, sink } = open(name, flushAfterMs);
      body.start(sink);
      source.sink.write(Buffer.from("first"));
      const text = () => decompressPart[name](sink.bytes).toString();
      await sink.until(() => text() === "first");
      source.sink.write(Buffer.from(" second"));
      await sink.until(() => text() === "first second");
      source.sink.end();
      await sink.until(() => sink.has("end"));
      expect(decompress[name](sink.bytes).toString()).toBe("first second");
    }
  });

  it("keeps a piece until then, so that many small ones compress well", async () => {
    const { source, body, sink } = open("gzip", 60_000);
    body.start(sink);
    for (let i = 0; i < 100; i++) {
      source.sink.write(Buffer.from(`line ${i}\n`));
      await turn();
    }
    expect(sink.bytes.length).toBeLessThan(50);
    source.sink.end();
    await sink.until(() => sink.has("end"));
    expect(gunzipSync(sink.bytes).length).toBe(790);
  });

  it("fails its sink when the source breaks off, and frees the compressor", async () => {
    const { source, streams, body, sink } = open("gzip", 0);
    body.start(sink);
    source.sink.write(Buffer.from("half"));
    await sink.until(() => sink.has("write"));
    source.sink.fail(new Error("upstream gone"));
    expect(streams[0]!.destroyed).toBe(true);
    await turn();
    expect(sink.events.filter((event) => event !== "write")).toEqual(["fail upstream gone"]);
  });

  it("fails its sink when the source is broken from the start", () => {
    const source = new QueuedBody({ pause() {}, resume() {}, abort() {} }, undefined);
    source.break(new Error("gone"));
    const sink = new FakeSink();
    new CompressedBody(source, createCoding("br", 4), 10).start(sink);
    expect(sink.events).toEqual(["fail gone"]);
  });

  it("fails its sink and cancels the source when the compressor fails", async () => {
    const { source, streams, body, sink } = open();
    body.start(sink);
    streams[0]!.destroy(new Error("out of memory"));
    await sink.until(() => sink.has("fail"));
    expect(sink.events).toEqual(["fail out of memory"]);
    expect(source.cancelled).toHaveLength(1);
  });

  it("frees the compressor and the source when cancelled, and says nothing more", async () => {
    const { source, streams, body, sink } = open("gzip", 1);
    body.start(sink);
    source.sink.write(noise(100_000));
    const reason = new Error("client gone");
    body.cancel(reason);
    body.cancel(reason);
    const told = sink.events.length;
    expect(streams[0]!.destroyed).toBe(true);
    expect(source.cancelled[0]).toBe(reason);
    expect(source.sink.write(Buffer.from("late"))).toBe(true);
    source.sink.fail(new Error("late"));
    source.sink.end();
    for (let i = 0; i < 20; i++) await turn();
    expect(sink.events).toHaveLength(told);
  });

  it("can be cancelled before it was started", () => {
    const { source, streams, body } = open();
    body.cancel(new Error("not wanted"));
    expect(source.cancelled).toHaveLength(1);
    expect(streams).toHaveLength(0);
  });

  it("hands trailers on, without digests of the bytes that came in", async () => {
    const { source, body, sink } = open();
    body.start(sink);
    source.sink.end(Buffer.from("x"), ["x-sum", "1", "Repr-Digest", "sha-256=:abc:"]);
    await sink.until(() => sink.has("end"));
    expect(sink.trailers).toEqual(["x-sum", "1"]);
  });

  it("may be collected like any body", async () => {
    const { source, body } = open("zstd");
    const collected = collect(body, 1000);
    source.sink.end(Buffer.from("hello"));
    expect(zstdDecompressSync(await collected).toString()).toBe("hello");
  });
});
