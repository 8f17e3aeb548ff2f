import { afterEach, describe, expect, it, vi } from "vitest";
import { parseRetryAfter } from "../../core/retry-after.ts";

const NOW = Date.parse("1994-11-06T08:49:30Z");

afterEach(() => void vi.unstubAllEnvs());

describe("Retry-After", () => {
  it.each([
    ["0", 0],
    ["7", 7000],
    [" 120 ", 120_000],
    ["Sun, 06 Nov 1994 08:49:37 GMT", 7000],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 7000],
    ["Sun Nov  6 08:49:37 1994", 7000],
    ["Sun, 06 Nov 1994 08:49:23 GMT", 0],
  ])("%j is a wait of %d ms, wherever the gateway stands", (value, ms) => {
    for (const zone of ["UTC", "America/New_York", "Asia/Tokyo"]) {
      vi.stubEnv("TZ", zone);
      expect(parseRetryAfter(value, NOW)).toBe(ms);
    }
  });

  it.each(["", "-1", "1.5", "1s", "soon", "1994-11-06", "Sun, 99 Nov 1994 08:49:37 GMT", "1, 2"])(
    "%j says nothing",
    (value) => {
      expect(parseRetryAfter(value, NOW)).toBeUndefined();
    },
  );
});
