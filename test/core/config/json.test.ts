import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findJsonError } from "../../../core/config/json.ts";

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

describe("findJsonError", () => {
  it("agrees with JSON.parse about valid documents", () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(undefined, 1, "\t"), (text, indent) => {
        expect(findJsonError(JSON.stringify(JSON.parse(text), null, indent))).toBeUndefined();
      }),
    );
  });

  it("agrees with JSON.parse about texts made of its pieces", () => {
    const piece = fc.constantFrom(
      ..."{}[]:,".split(""),
      '"a"',
      '"',
      "'a'",
      "1",
      "-",
      "01",
      "1.5e3",
      "1.",
      "true",
      "nul",
      "null",
      " ",
      "\n",
      "//",
      "\\u0041",
      '"\\u12"',
      "\u0001",
      "\u00a0",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join("");
        expect(findJsonError(text) === undefined).toBe(isJson(text));
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ["", 0],
    ["[1,]", 3],
    ['{"a":1,}', 7],
    ['{"a" 1}', 5],
    ["{a: 1}", 1],
    ["[1 2]", 3],
    ["[01]", 1],
    ['["a\tb"]', 1],
    ["[] []", 3],
    ["[1, # no\n2]", 4],
  ])("says where %j ends to be JSON", (text, offset) => {
    expect(findJsonError(text)?.offset).toBe(offset);
  });

  it("reads a deep document without recursion", () => {
    expect(findJsonError("[".repeat(1e5) + "]".repeat(1e5))).toBeUndefined();
  });
});
