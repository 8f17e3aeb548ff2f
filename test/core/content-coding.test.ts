import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BodyTooLarge } from "../../core/body.ts";
import { decode, UnknownCoding } from "../../core/content-coding.ts";

const ENCODERS: Record<string, (bytes: Buffer) => Buffer> = {
  gzip: gzipSync,
  "x-gzip": gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
  identity: (bytes) => bytes,
};
const codings = Object.keys(ENCODERS);
const text = Buffer.from("a text, ".repeat(500));

describe("decode", () => {
  it.each(codings)("undoes %s, in any case", async (coding) => {
    const encoded = ENCODERS[coding]!(text);
    expect(await decode(encoded, coding, 1e6)).toEqual(text);
    expect(await decode(encoded, ` ${coding.toUpperCase()} `, 1e6)).toEqual(text);
  });

  it("leaves bytes without a coding alone", async () => {
    expect(await decode(text, undefined, 1e6)).toBe(text);
    expect(await decode(text, "", 1e6)).toBe(text);
  });

  it("undoes several codings, last first", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1 }),
        fc.array(fc.constantFrom(...codings), { maxLength: 3 }),
        async (array, list) => {
          const bytes = Buffer.from(array);
          const encoded = list.reduce<Buffer>((b, coding) => ENCODERS[coding]!(b), bytes);
          expect((await decode(encoded, list.join(", "), 1e6)).equals(bytes)).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("refuses more than three codings", async () => {
    await expect(decode(text, "gzip, gzip, gzip, gzip", 1e6)).rejects.toBeInstanceOf(UnknownCoding);
  });

  it.each(["compress", "aws-chunked", "gzip;q=1", "constructor", "__proto__", "toString"])(
    "refuses the coding %s",
    async (coding) => {
      await expect(decode(text, coding, 1e6)).rejects.toBeInstanceOf(UnknownCoding);
      await expect(decode(text, `${coding}, gzip`, 1e6)).rejects.toBeInstanceOf(UnknownCoding);
    },
  );

  it.each(codings.filter((c) => c !== "identity"))("stops a bomb of %s at the cap", async (coding) => {
    const bomb = ENCODERS[coding]!(Buffer.alloc(1_000_000));
    await expect(decode(bomb, coding, 999_999)).rejects.toBeInstanceOf(BodyTooLarge);
    expect((await decode(bomb, coding, 1_000_000)).length).toBe(1_000_000);
    const twice = ENCODERS[coding]!(bomb);
    await expect(decode(twice, `${coding}, ${coding}`, 999_999)).rejects.toBeInstanceOf(BodyTooLarge);
  });

  it("takes any cap, none included", async () => {
    const encoded = gzipSync(text);
    expect(await decode(encoded, "gzip", Number.POSITIVE_INFINITY)).toEqual(text);
    await expect(decode(encoded, "gzip", 0)).rejects.toBeInstanceOf(BodyTooLarge);
    await expect(decode(gzipSync("a"), "gzip", 0)).rejects.toBeInstanceOf(BodyTooLarge);
    expect((await decode(gzipSync(""), "gzip", 0)).length).toBe(0);
  });

  it.each(codings.filter((c) => c !== "identity"))("fails for damaged and cut off %s", async (coding) => {
    const encoded = ENCODERS[coding]!(text);
    await expect(decode(encoded.subarray(0, -3), coding, 1e6)).rejects.toThrow();
    await expect(decode(Buffer.from("this is not compressed"), coding, 1e6)).rejects.toThrow();
  });

  it.each(codings.filter((c) => c !== "identity"))(
    "fails for %s with more behind it, which others may read",
    async (coding) => {
      const encoded = ENCODERS[coding]!(text);
      for (const more of [Buffer.alloc(8), Buffer.concat([Buffer.alloc(8), encoded]), Buffer.from("more")]) {
        await expect(decode(Buffer.concat([encoded, more]), coding, 1e6)).rejects.toThrow();
      }
    },
  );

  it.each(["gzip", "zstd"])("joins several parts of %s, as all do", async (coding) => {
    const part = ENCODERS[coding]!(text);
    expect(await decode(Buffer.concat([part, part]), coding, 1e6)).toEqual(Buffer.concat([text, text]));
  });

  it("takes no bytes for no bytes, as servers that send an empty body with a coding mean it", async () => {
    expect((await decode(Buffer.alloc(0), "gzip", 10)).length).toBe(0);
    await expect(decode(Buffer.alloc(0), "what", 10)).rejects.toBeInstanceOf(UnknownCoding);
  });
});
