import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseHttpDate } from "../../../plugins/cache/dates.ts";

const NOW = Date.UTC(2026, 5, 1);
const THEN = Date.UTC(1994, 10, 6, 8, 49, 37);

describe("a date", () => {
  it("is read in the three forms of RFC 9110, in any case", () => {
    for (const text of [
      "Sun, 06 Nov 1994 08:49:37 GMT",
      "Sunday, 06-Nov-94 08:49:37 GMT",
      "Sun Nov  6 08:49:37 1994",
      "Sun Nov 06 08:49:37 1994",
      "SUN, 06 nov 1994 08:49:37 gmt",
      "sunday, 06-NOV-94 08:49:37 gMT",
    ]) {
      expect(parseHttpDate(text, NOW), text).toBe(THEN);
    }
  });

  it("with a year of two digits is at most 50 years ahead", () => {
    const year = (text: string, now: number) =>
      new Date(parseHttpDate(`Sunday, 06-Nov-${text} 08:49:37 GMT`, Date.UTC(now, 0, 1))!).getUTCFullYear();
    expect(year("76", 2026)).toBe(2076);
    expect(year("77", 2026)).toBe(1977);
    expect(year("26", 2026)).toBe(2026);
    expect(year("10", 2080)).toBe(2110);
  });

  it("is none when it is written in any other way", () => {
    for (const text of [
      "",
      "0",
      "Sun, 06 Nov 1994 08:49:37 UTC",
      "Sun, 06 Nov 1994 08:49:37 +0000",
      "Sun, 06 Nov 1994 08:49:37",
      "Sun 06 Nov 1994 08:49:37 GMT",
      "Sun, 6 Nov 1994 08:49:37 GMT",
      "Sun, 06  Nov  1994 08:49:37 GMT",
      "Sun, 06-Nov-1994 08:49:37 GMT",
      "Sun, 06 Nov 94 08:49:37 GMT",
      "Sun, 06 Nov 1994 08.49.37 GMT",
      "Sun, 06 Nov 1994 8:49:37 GMT",
      "Sun, 31 Feb 1994 08:49:37 GMT",
      "Sun, 06 Nov 1994 24:49:37 GMT",
      "Sun, 06 Nov 1994 08:60:37 GMT",
      " Sun, 06 Nov 1994 08:49:37 GMT",
    ]) {
      expect(parseHttpDate(text, NOW), text).toBeUndefined();
    }
  });

  it("is what Date writes", () => {
    const seconds = fc.integer({ min: -62_000_000_000, max: 250_000_000_000 });
    fc.assert(
      fc.property(seconds, (second) => {
        const ms = second * 1000;
        expect(parseHttpDate(new Date(ms).toUTCString(), NOW)).toBe(ms);
      }),
    );
  });
});
