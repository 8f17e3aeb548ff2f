import fc from "fast-check";
import { expect, it } from "vitest";
import { Seal } from "../../../plugins/oidc-login/seal.ts";

const seal = new Seal(["first", "second"], "context");

it("opens what it has sealed, for the same purpose and with any of its secrets", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), fc.string(), (text, purpose, other) => {
      const sealed = new Seal(["second"], "context").seal(text, purpose);
      expect(seal.open(sealed, purpose)).toBe(text.toWellFormed());
      if (other !== purpose) expect(seal.open(sealed, other)).toBeUndefined();
    }),
    { numRuns: 50 },
  );
});

it("does not open what was sealed with another secret or in another context", () => {
  expect(seal.open(new Seal(["third"], "context").seal("text", ""), "")).toBeUndefined();
  expect(seal.open(new Seal(["first"], "other").seal("text", ""), "")).toBeUndefined();
});

it("never seals a text twice in the same way", () => {
  expect(seal.seal("text", "")).not.toBe(seal.seal("text", ""));
});

it("opens nothing else, whatever it is, and throws at nothing", () => {
  const sealed = Buffer.from(seal.seal("a text", ""), "base64url");
  fc.assert(
    fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(sealed);
      changed[at]! ^= change;
      expect(seal.open(changed.toString("base64url"), "")).toBeUndefined();
      expect(seal.open(sealed.subarray(0, at).toString("base64url"), "")).toBeUndefined();
    }),
    { numRuns: 100 },
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(seal.open(text, "")).toBeUndefined();
    }),
    { numRuns: 100 },
  );
});
