import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileLinearRegex, OutOfSteps } from "../../../plugins/validate/linear-regex.ts";

const compile = (source: string, left = 1e9) => compileLinearRegex(source, { left });

/** Any expression over a few letters that can be matched so. */
const expression: fc.Arbitrary<string> = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 5, depthSize: "small" },
    fc.constantFrom(
      "a",
      "b",
      "é",
      "😀",
      ".",
      "[ab]",
      "[^a]",
      "\\w",
      "\\d",
      "\\s",
      "\\p{L}",
      "\\u{61}",
      "\\.",
      "",
      "^",
      "$",
      "\\b",
      "\\B",
    ),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => a + b),
    fc.tuple(tie("expression"), tie("expression")).map(([a, b]) => `(?:${a}|${b})`),
    fc
      .tuple(tie("expression"), fc.constantFrom("*", "+", "?", "*?", "{2}", "{1,}", "{0,3}", "{2,3}?"))
      .map(([a, times]) => `(${a})${times}`),
  ),
})).expression;

const text = fc.string({ unit: fc.constantFrom("a", "b", "é", "😀", "1", ".", " ", "\n"), maxLength: 12 });

describe("linear regular expressions", () => {
  it("match what JavaScript's own match", () => {
    fc.assert(
      fc.property(expression, text, (source, subject) => {
        // V8 is wrong about these: it finds \B within a surrogate pair, and not that /[^a]$/u matches one.
        fc.pre(!(/\\B|\$/.test(source) && subject.includes("😀")));
        expect(compile(source).test(subject)).toBe(new RegExp(source, "u").test(subject));
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ["^(a+)+$", "a".repeat(50_000)],
    ["^(a|a)*$", "a".repeat(50_000)],
    ["^(.*)*x$", "a".repeat(50_000)],
    ["\\s+$", " ".repeat(50_000)],
    ["^([a-zA-Z0-9]+\\s?)+$", "a".repeat(50_000)],
  ])("take steps in proportion to the text: %s", (source, subject) => {
    const steps = { left: 1e9 };
    const regex = compileLinearRegex(source, steps);
    const cost = (of: string): number => {
      const before = steps.left;
      regex.test(of);
      return before - steps.left;
    };
    expect(cost(`${subject}!`)).toBeLessThan(2.1 * cost(`${subject.slice(25_000)}!`));
  });

  it("stop when their steps are used up, over all texts", () => {
    const steps = { left: 1000 };
    const regex = compileLinearRegex("^[a-z]*$", steps);
    expect(regex.test("abc")).toBe(true);
    expect(() => regex.test("a".repeat(1000))).toThrow(OutOfSteps);
    expect(() => regex.test("a")).toThrow(OutOfSteps);
  });

  it("are as good after one that was stopped", () => {
    const steps = { left: 50 };
    const regex = compileLinearRegex("^a*b$", steps);
    expect(() => regex.test("a".repeat(100))).toThrow(OutOfSteps);
    steps.left = 1000;
    expect(regex.test("b")).toBe(true);
    expect(regex.test("")).toBe(false);
  });

  it.each([
    ["(a)\\1", "it refers to a group"],
    ["(?<x>a)\\k<x>", "it refers to a group"],
    ["^(?=a)", "it looks ahead or behind"],
    ["(?<!a)b", "it looks ahead or behind"],
    ["(?i:a)", "it changes flags inside"],
    ["(a{1000}){1000}", "it repeats too much"],
  ])("refuse %s", (source, reason) => {
    expect(() => compile(source)).toThrow(reason);
  });

  it("refuse what is no expression", () => {
    expect(() => compile("a(")).toThrow(SyntaxError);
  });
});
