import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { JsonRefused, parseStrictJson } from "../../../plugins/validate/json.ts";

const LIMITS = { maxDepth: 64, maxKeys: 1000, maxItems: 1000 };
const parse = (text: string, limits = {}) => parseStrictJson(text, { ...LIMITS, ...limits });

/** What is refused, and where. */
function refusal(text: string, limits = {}): string {
  try {
    parse(text, limits);
    return "";
  } catch (error) {
    if (!(error instanceof JsonRefused)) throw error;
    return `${error.pointer}: ${error.message}`;
  }
}

const countValues = (value: unknown): number =>
  typeof value === "object" && value !== null
    ? Object.values(value).reduce((sum: number, each) => sum + countValues(each), 1)
    : 1;

describe("strict JSON", () => {
  it("is what JSON.parse reads, where nothing is dubious", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ noUnicodeString: false }),
        fc.constantFrom(undefined, 2, "\t"),
        (value, indent) => {
          const text = JSON.stringify(value, undefined, indent);
          fc.pre(!text.includes("__proto__"));
          expect(parse(text).value).toEqual(JSON.parse(text));
        },
      ),
    );
  });

  it("is refused when JSON.parse refuses it, and nothing else is thrown", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("{", "}", "[", "]", ",", ":", '"', "\\", "a", "1", " ") }),
        (text) => {
          let isJson = true;
          try {
            JSON.parse(text);
          } catch {
            isJson = false;
          }
          const refused = refusal(text);
          if (!isJson) expect(refused).not.toBe("");
          else if (refused !== "") expect(refused).toContain("must be there once");
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("has as many values as it is said to have, but for empty lists", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!text.includes("__proto__"));
        const empty = text.replace(/"(?:[^"\\]|\\.)*"/g, "0").split("[]").length - 1;
        expect(parse(text).size).toBe(countValues(JSON.parse(text)) + empty);
      }),
    );
  });

  it.each([
    ['{"a":1,"a":2}', "/a: must be there once"],
    ['{"a":1,"\\u0061":2}', "/a: must be there once"],
    ['{"x":[0,{"b":{},"b":{}}]}', "/x/1/b: must be there once"],
    ['{"a":{"a":1},"b":[{"a":1},{"a":1}],"c":"a"}', ""],
    ['{"a":"\\"a\\":1,\\"a\\":2"}', ""],
    ['{"":1,"":2}', "/: must be there once"],
    ['{"__proto__":{}}', "/__proto__: is not allowed as a key"],
    ['{"\\u005f_proto__":{}}', "/__proto__: is not allowed as a key"],
    ['{"a":"__proto__"}', ""],
    ['{"constructor":{"prototype":{}}}', ""],
    ["", ": must be JSON"],
    ['{"a', ": must be JSON"],
    ['{"a\\', ": must be JSON"],
    ['{"\\x":1}', ": must be JSON"],
    ["[1,]", ": must be JSON"],
    ["NaN", ": must be JSON"],
    ["\ufeff{}", ": must be JSON"],
    ["{} {}", ": must be JSON"],
  ])("%s: %s", (text, expected) => {
    expect(refusal(text)).toBe(expected);
  });

  it("is bounded in depth, keys and items", () => {
    expect(refusal("[[[]]]", { maxDepth: 3 })).toBe("");
    expect(refusal("[[[[]]]]", { maxDepth: 3 })).toBe("/0/0/0: must be nested at most 3 deep");
    expect(refusal(`${"[".repeat(1e6)}`)).toMatch(/must be nested at most 64 deep$/);
    expect(refusal('{"a":1,"b":2}', { maxKeys: 2 })).toBe("");
    expect(refusal('{"x":{"a":1,"b":2,"c":3}}', { maxKeys: 2 })).toBe("/x: must have at most 2 keys");
    expect(refusal("[1,2,3]", { maxItems: 3 })).toBe("");
    expect(refusal('{"x":[1,2,3,4]}', { maxItems: 3 })).toBe("/x: must have at most 3 items");
    expect(refusal('[{"a":[1,2,3]},[1,2,3],3]', { maxItems: 3, maxKeys: 1 })).toBe("");
  });
});
