import { zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Entry } from "../../../../plugins/cache/entry.ts";
import { decodeEntry, encodeEntry } from "../../../../plugins/cache/store/entry-codec.ts";
import { entryOf } from "../../../support/cache-entries.ts";

const text = fc.string({ unit: "grapheme", maxLength: 40 });
const texts = fc.array(text, { maxLength: 8 });
const bytes = (most: number) => fc.uint8Array({ maxLength: most }).map((each) => Buffer.from(each));
const ms = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.double({ noNaN: true }));
const anyEntry: fc.Arbitrary<Entry> = fc.record({
  key: text,
  url: text,
  status: fc.nat(999),
  reason: fc.option(text, { nil: undefined }),
  headers: texts,
  body: fc.oneof(
    bytes(300),
    fc.nat(5000).map((length) => Buffer.alloc(length, "abc")),
  ),
  part: fc.constant(undefined),
  vary: texts,
  tags: texts,
  requestedAtMs: fc.nat(4e12),
  respondedAtMs: fc.nat(4e12),
  initialAgeMs: ms,
  freshMs: ms,
  staleWhileRevalidateMs: ms,
  staleIfErrorMs: ms,
  mustRevalidate: fc.boolean(),
  alwaysValidate: fc.boolean(),
  fillMs: ms,
  version: fc.maxSafeNat(),
});

describe("an entry as a store has it", () => {
  it("is the same when it is read again", async () => {
    await fc.assert(
      fc.asyncProperty(anyEntry, fc.constantFrom(0, 100, 1e9), async (entry, compressAbove) => {
        expect(await decodeEntry(await encodeEntry(entry, compressAbove), entry.key)).toEqual(entry);
      }),
      { numRuns: 200 },
    );
  });

  it("is none when a byte is another, when it is cut off, or goes on", async () => {
    const harm = fc.record({
      at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      by: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(anyEntry, harm, async (entry, { at, by }) => {
        const whole = await encodeEntry(entry, 100);
        const place = Math.floor(at * whole.length);
        const harmed = Buffer.from(whole);
        harmed[place]! ^= by;
        const wrong = [harmed, whole.subarray(0, place), Buffer.concat([whole, Buffer.from([by])])];
        for (const each of wrong) expect(await decodeEntry(each, entry.key)).toBeUndefined();
      }),
      { numRuns: 200 },
    );
  });

  it("is none under another key, in an older or newer format, or when it is something else", async () => {
    const entry = entryOf();
    const whole = await encodeEntry(entry, 1000);
    expect(await decodeEntry(whole, `${entry.key}?`)).toBeUndefined();
    for (const version of [0, 2]) {
      const other = Buffer.from(whole);
      other[3] = version;
      expect(await decodeEntry(other, entry.key)).toBeUndefined();
    }
    for (const other of ["", "SLC", "SLC\x01", "SLC\x01\0\0\0\0", "{}", "<html>".repeat(50)]) {
      expect(await decodeEntry(Buffer.from(other, "latin1"), entry.key)).toBeUndefined();
    }
  });

  it("is compressed where that makes it smaller, and only then", async () => {
    const body = Buffer.from("a line of text\n".repeat(1000));
    const sizeOf = async (more: Partial<Entry>, compressAbove = 1000): Promise<number> =>
      (await encodeEntry(entryOf({ body, ...more }), compressAbove)).length;
    expect(await sizeOf({})).toBeLessThan(300);
    expect(await sizeOf({}, body.length)).toBeGreaterThan(body.length);
    expect(await sizeOf({ headers: ["Content-Encoding", "gzip"] })).toBeGreaterThan(body.length);
    expect(await sizeOf({ headers: ["content-type", "image/png"] })).toBeGreaterThan(body.length);
    expect(await sizeOf({ headers: ["content-type", "image/svg+xml"] })).toBeLessThan(300);
    const dense = zstdCompressSync(Buffer.from(Array.from({ length: 3000 }, () => Math.random()).join()));
    const bytes = await encodeEntry(entryOf({ body: dense }), 1000);
    expect(bytes.subarray(-dense.length)).toEqual(dense);
  });

  it("is the same with a large body, which is compressed aside", async () => {
    const entry = entryOf({ body: Buffer.alloc(300_000, "a line of text\n") });
    const bytes = await encodeEntry(entry, 1000);
    expect(bytes.length).toBeLessThan(1000);
    const read = await decodeEntry(bytes, entry.key);
    expect(read!.body.equals(entry.body)).toBe(true);
    bytes[bytes.length - 1]! ^= 1;
    expect(await decodeEntry(bytes, entry.key)).toBeUndefined();
  });

  it("takes few bytes beside its texts, and a body holds nothing else in memory", async () => {
    const entry = entryOf({
      key: "k".repeat(500),
      respondedAtMs: 1_700_000_000_123,
      requestedAtMs: 1_700_000_000_000,
    });
    const whole = await encodeEntry(entry, 1000);
    const texts = [entry.url, entry.reason, ...entry.headers, entry.body].join("").length;
    expect(whole.length).toBeLessThan(texts + 60);
    const received = Buffer.alloc(65_536);
    whole.copy(received, 1000);
    const read = await decodeEntry(received.subarray(1000, 1000 + whole.length), entry.key);
    expect(read!.body.buffer.byteLength).toBe(entry.body.length);
  });
});
