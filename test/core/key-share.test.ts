import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileKeyShare, createKeyShare } from "../../core/key-share.ts";
import { exchange } from "../support/harness.ts";

const KEYS = Array.from({ length: 20_000 }, (_, i) => `user-${i}`);

describe("the place of a key", () => {
  it("is the same in every process and version", () => {
    const share = createKeyShare("");
    const salted = createKeyShare("checkout");
    expect([share(""), share("a"), share("ab"), share("user-1"), share("é\u{1f600}")]).toEqual(
      [0, 453868544, 374890698, 2429978192, 2019753799].map((n) => n / 2 ** 32),
    );
    expect(salted("user-1")).toBe(2532630948 / 2 ** 32);
  });

  it("is from 0 up to 1 for any text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string(), (key, salt) => {
        const place = createKeyShare(salt)(key);
        expect(place).toBeGreaterThanOrEqual(0);
        expect(place).toBeLessThan(1);
      }),
    );
  });

  it("is spread evenly, for keys that differ little too", () => {
    const share = createKeyShare("");
    const bins = new Array<number>(100).fill(0);
    for (const key of KEYS) bins[Math.floor(share(key) * 100)]!++;
    // Chi-squared with 99 degrees of freedom is above 149 once in a thousand.
    const chi = bins.reduce((sum, n) => sum + (n - 200) ** 2 / 200, 0);
    expect(chi).toBeLessThan(149);
  });

  it("is independent of the one with another salt", () => {
    const [one, two] = [createKeyShare("one"), createKeyShare("two")];
    const both = KEYS.filter((key) => one(key) < 0.1 && two(key) < 0.1).length;
    expect(both).toBeGreaterThan(140); // 1 % of 20,000, give or take four deviations
    expect(both).toBeLessThan(260);
  });
});

describe("the place of an exchange", () => {
  const ada = exchange({ headers: { "x-user": "ada" } });

  it("is that of its key", () => {
    const place = compileKeyShare({ by: { header: "x-user" }, salt: "s" });
    expect(place(ada)).toBe(createKeyShare("s")("ada"));
  });

  it("is nowhere without a key, and without something to decide by", () => {
    expect(compileKeyShare({ by: { header: "x-user" }, salt: "" })(exchange())).toBeUndefined();
    expect(compileKeyShare({ salt: "" })(ada)).toBeUndefined();
  });
});
