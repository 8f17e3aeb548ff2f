import { describe, expect, it } from "vitest";
import { duration, parseDuration, parseRate, parseSize, rate, size, UNITS } from "../../core/units.ts";

describe("durations", () => {
  it.each([
    ["0ms", 0],
    ["500ms", 500],
    ["10s", 10_000],
    ["1.5s", 1500],
    ["5m", 300_000],
    ["1h", 3_600_000],
    ["2d", 172_800_000],
  ])("%s is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
    expect(text).toMatch(new RegExp(UNITS.duration.pattern));
  });

  it.each(["", "10", "s", "10 s", "-1s", "1.s", ".5s", "1S", "10sec", "1s ", "1e3s", "1s\n"])(
    "%j is none",
    (text) => {
      expect(() => parseDuration(text)).toThrow("not a duration");
      expect(text).not.toMatch(new RegExp(UNITS.duration.pattern));
    },
  );
});

describe("sizes", () => {
  it.each([
    ["0B", 0],
    ["512B", 512],
    ["64KB", 65_536],
    ["1.5KB", 1536],
    ["16MB", 16_777_216],
    ["2GB", 2_147_483_648],
    ["0.3KB", 307],
  ])("%s is %d bytes", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
    expect(text).toMatch(new RegExp(UNITS.size.pattern));
  });

  it.each(["", "10", "10kb", "10 MB", "1TB", "-1B", "1.B", "MB"])("%j is none", (text) => {
    expect(() => parseSize(text)).toThrow("not a size");
    expect(text).not.toMatch(new RegExp(UNITS.size.pattern));
  });
});

describe("percentages", () => {
  it.each([
    ["50%", true],
    ["0.5%", true],
    ["50", false],
    ["-1%", false],
    ["%", false],
    ["50 %", false],
  ])("%s: %s", (text, isOne) => expect(new RegExp(UNITS.percent.pattern).test(text)).toBe(isOne));
});

describe("schemas of units", () => {
  it("have form, default and description", () => {
    expect(duration("10s", "A time.")).toEqual({
      type: "string",
      pattern: UNITS.duration.pattern,
      default: "10s",
      description: "A time.",
    });
    expect(size("1MB", "A size.")).toEqual({
      type: "string",
      pattern: UNITS.size.pattern,
      default: "1MB",
      description: "A size.",
    });
  });
});

describe("rates", () => {
  it.each([
    ["100/1m", 100, 60_000],
    ["1/500ms", 1, 500],
    ["5000/1d", 5000, 86_400_000],
    ["7/2h", 7, 7_200_000],
    ["200/1s", 200, 1000],
  ])("%s is %d units in %d ms", (text, count, windowMs) => {
    expect(parseRate(text)).toEqual({ count, windowMs });
    expect(text).toMatch(new RegExp(rate("").pattern));
  });

  it.each([
    "",
    "0/1s",
    "1/0s",
    "-1/1s",
    "1.5/1s",
    "1/1.5s",
    "1/s",
    "10",
    "10 / 1s",
    "1/1w",
    "01/1s",
    "1/1s\n",
  ])("%j is none", (text) => {
    expect(() => parseRate(text)).toThrow("not a rate");
    expect(text).not.toMatch(new RegExp(rate("").pattern));
  });
});
