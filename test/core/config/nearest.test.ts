import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { completion, editDistance, nearest } from "../../../core/config/nearest.ts";

describe("editDistance", () => {
  it.each([
    ["methods", "metods", 1],
    ["plugin", "plguin", 1],
    ["", "abc", 3],
    ["kitten", "sitting", 3],
  ])("of %s and %s is %i", (a, b, distance) => {
    expect(editDistance(a, b)).toBe(distance);
  });

  it("is symmetric, zero only for equals, and at most the longer length", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const distance = editDistance(a, b);
        expect(distance).toBe(editDistance(b, a));
        expect(distance === 0).toBe(a === b);
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});

describe("nearest", () => {
  it("finds one edit, other case and other separators", () => {
    expect(nearest("metods", ["match", "methods"])).toBe("methods");
    expect(nearest("STRIP-PREFIX", ["rewrite", "stripPrefix"])).toBe("stripPrefix");
  });

  it("gives nothing rather than a guess", () => {
    expect(nearest("a", ["b"])).toBeUndefined();
    expect(nearest("database", ["routes", "upstreams"])).toBeUndefined();
    expect(nearest("x".repeat(1000), ["x"])).toBeUndefined();
  });
});

describe("completion", () => {
  it("finds the one candidate that begins with the text, in whatever case", () => {
    expect(completion("password", ["username", "passwordHash"])).toBe("passwordHash");
    expect(completion("Password", ["username", "password-hash"])).toBe("password-hash");
  });

  it("gives nothing where there are several, or the text is short", () => {
    expect(completion("stale", ["staleIfError", "staleWhileRevalidate"])).toBeUndefined();
    expect(completion("key", ["keyId"])).toBeUndefined();
  });
});
