import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddress, RangeSet } from "../../core/address-ranges.ts";

/** Slow and obviously right: addresses as texts of ones and zeros, ranges as how these begin. */
function bitsOf(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(2).padStart(8, "0")).join("");
}

describe("a set of ranges", () => {
  // few different bytes, so that addresses and ranges meet
  const bytes = (length: number) =>
    fc.array(fc.constantFrom(0, 1, 127, 128, 255), { minLength: length, maxLength: length });
  const v4 = bytes(4).map((b) => ({ bits: `4:${bitsOf(b)}`, text: b.join(".") }));
  const mapped = v4.map(({ bits, text }) => ({ bits, text: `::ffff:${text}` }));
  const v6 = bytes(16).map((b) => ({
    bits: `6:${bitsOf(b)}`,
    text: Array.from({ length: 8 }, (_, i) => (b[2 * i]! * 256 + b[2 * i + 1]!).toString(16)).join(":"),
  }));
  const range = fc.oneof(
    fc.tuple(v4, fc.nat(32)).map(([a, n]) => ({ prefix: a.bits.slice(0, 2 + n), text: `${a.text}/${n}` })),
    fc
      .tuple(mapped, fc.nat(32))
      .map(([a, n]) => ({ prefix: a.bits.slice(0, 2 + n), text: `${a.text}/${96 + n}` })),
    fc.tuple(v6, fc.nat(128)).map(([a, n]) => ({ prefix: a.bits.slice(0, 2 + n), text: `${a.text}/${n}` })),
    fc.oneof(v4, mapped, v6).map((a) => ({ prefix: a.bits, text: a.text })),
  );

  it("agrees with a comparison of bits", () => {
    fc.assert(
      fc.property(fc.array(range, { minLength: 1, maxLength: 8 }), fc.oneof(v4, mapped, v6), (list, a) => {
        const set = new RangeSet();
        for (const { text } of list) expect(set.add(text)).toBe(true);
        const expected = list.some(({ prefix }) => a.bits.startsWith(prefix));
        expect(set.has(parseAddress(a.text)!)).toBe(expected);
      }),
      { numRuns: 300 },
    );
  });

  it("takes no entry that is not an address or a range", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!/^[0-9a-f:.]+(\/\d+)?$/i.test(text));
        expect(new RangeSet().add(text)).toBe(false);
      }),
    );
  });
});
