import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyHash } from "../../../core/threads/key-hash.ts";

/** HalfSipHash as its authors describe it, over bytes: 64 bits, in hexadecimal. */
function halfSipHash(compress: number, finish: number, secret: readonly number[], bytes: Buffer): string {
  const v = [secret[0]!, secret[1]! ^ 0xee, 0x6c796765 ^ secret[0]!, 0x74656462 ^ secret[1]!] as const;
  const state = [...v];
  const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by));
  const round = (): void => {
    let [a, b, c, d] = state as [number, number, number, number];
    a = (a + b) | 0;
    b = rotate(b, 5) ^ a;
    a = rotate(a, 16);
    c = (c + d) | 0;
    d = rotate(d, 8) ^ c;
    a = (a + d) | 0;
    d = rotate(d, 7) ^ a;
    c = (c + b) | 0;
    b = rotate(b, 13) ^ c;
    c = rotate(c, 16);
    state.splice(0, 4, a, b, c, d);
  };
  const rounds = (count: number): void => {
    for (let i = 0; i < count; i++) round();
  };
  const padded = Buffer.alloc((bytes.length & ~3) + 4);
  bytes.copy(padded);
  padded[padded.length - 1] = bytes.length;
  for (let i = 0; i < padded.length; i += 4) {
    const word = padded.readInt32LE(i);
    state[3]! ^= word;
    rounds(compress);
    state[0]! ^= word;
  }
  const out = Buffer.alloc(8);
  state[2]! ^= 0xee;
  rounds(finish);
  out.writeInt32LE(state[1]! ^ state[3]!, 0);
  state[1]! ^= 0xdd;
  rounds(finish);
  out.writeInt32LE(state[1]! ^ state[3]!, 4);
  return out.toString("hex");
}

function hashOf(secret: readonly number[], text: string): string {
  const hash = new KeyHash(secret[0]!, secret[1]!);
  hash.update(text);
  const out = Buffer.alloc(8);
  out.writeInt32LE(hash.low, 0);
  out.writeInt32LE(hash.high, 4);
  return out.toString("hex");
}

describe("the hash of keys", () => {
  it("is HalfSipHash-1-3 of a text's UTF-16", () => {
    // The authors' vectors, which are of HalfSipHash-2-4, for the description above.
    const secret = [0x03020100, 0x07060504];
    const vectors = {
      0: "218d1f59b9b83cc8",
      1: "be552412f8387315",
      2: "064f39ef7c50eb57",
      4: "d5e78a175be52ea1",
    };
    for (const [length, vector] of Object.entries(vectors)) {
      expect(halfSipHash(2, 4, secret, Buffer.from([0, 1, 2, 3].slice(0, Number(length))))).toBe(vector);
    }
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), fc.integer(), fc.integer(), (text, a, b) => {
        expect(hashOf([a, b], text)).toBe(halfSipHash(1, 3, [a, b], Buffer.from(text, "utf16le")));
      }),
    );
  });

  it("depends on the secret", () => {
    expect(hashOf([1, 2], "key")).not.toBe(hashOf([1, 3], "key"));
    expect(hashOf([1, 2], "key")).not.toBe(hashOf([2, 2], "key"));
  });
});
