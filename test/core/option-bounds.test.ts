import { describe, expect, it } from "vitest";
import type { Problem } from "../../core/errors.ts";
import { OptionBounds } from "../../core/option-bounds.ts";

function parse<T>(value: string, read: (bounds: OptionBounds<"a">) => T): T | string[] {
  const problems: Problem[] = [];
  const parsed = read(new OptionBounds({ a: value }, "/at", problems));
  return problems.length === 0 ? parsed : problems.map((p) => `${p.code} ${p.pointer}: ${p.message}`);
}

describe("an option with a unit", () => {
  it.each([
    ["10ms", 10],
    ["1d", 86_400_000],
    ["9ms", ["CONFIG_VALUE /at/a: `a` must be from 10ms to 1d"]],
    ["25h", ["CONFIG_VALUE /at/a: `a` must be from 10ms to 1d"]],
  ])("that is a duration of %s", (value, expected) => {
    expect(parse(value, (bounds) => bounds.duration("a", "10ms", "1d"))).toEqual(expected);
  });

  it.each([
    ["1ms", 1],
    ["24d", 24 * 86_400_000],
    ["0s", ["CONFIG_VALUE /at/a: `a` must be from 1ms to 24d"]],
    ["25d", ["CONFIG_VALUE /at/a: `a` must be from 1ms to 24d"]],
  ])("that a timer waits for: %s", (value, expected) => {
    expect(parse(value, (bounds) => bounds.wait("a"))).toEqual(expected);
  });

  it("may be no wait where that means something", () => {
    expect(parse("0s", (bounds) => bounds.wait("a", "0s"))).toBe(0);
  });

  it("is never longer than a timer of Node can wait", () => {
    expect(parse("24d", (bounds) => bounds.wait("a"))).toBeLessThan(2 ** 31);
  });

  it.each([
    ["0%", 0],
    ["100%", 1],
    ["100.1%", ["CONFIG_VALUE /at/a: `a` must be from 0% to 100%"]],
  ])("that is a share of %s", (value, expected) => {
    expect(parse(value, (bounds) => bounds.share("a"))).toEqual(expected);
  });

  it("may be a share of something at least", () => {
    expect(parse("0.5%", (bounds) => bounds.share("a", "1%"))).toEqual([
      "CONFIG_VALUE /at/a: `a` must be from 1% to 100%",
    ]);
  });
});
