import { describe, expect, it } from "vitest";
import type { Entry } from "../../../../plugins/cache/entry.ts";
import { lifetimeOf } from "../../../../plugins/cache/store/lifetime.ts";
import { entryOf } from "../../../support/cache-entries.ts";

describe("how long an entry stays in a store", () => {
  const MINUTE_MS = 60_000;
  const at = (nowMs: number, rest: Partial<Entry>): number =>
    lifetimeOf(entryOf({ respondedAtMs: 1000, freshMs: MINUTE_MS, ...rest }), 1000 + nowMs);

  it("is as long as it is fresh, less its age", () => {
    expect(at(0, {})).toBe(MINUTE_MS);
    expect(at(20_000.5, { initialAgeMs: 10_000 })).toBe(30_000);
    expect(at(MINUTE_MS, {})).toBe(0);
    expect(at(-5000, {})).toBe(55_000); // by a clock that differs
  });

  it("is longer for what may be used stale, by the longest time", () => {
    expect(at(0, { staleWhileRevalidateMs: 5000 })).toBe(65_000);
    expect(at(0, { staleWhileRevalidateMs: 5000, staleIfErrorMs: 7000 })).toBe(67_000);
    expect(at(MINUTE_MS + 2000, { staleIfErrorMs: 7000 })).toBe(5000);
  });

  it("is ten minutes more for what can be validated", () => {
    expect(at(0, { headers: ["ETag", '"a"'] })).toBe(11 * MINUTE_MS);
    expect(at(0, { headers: ["last-modified", "now"], freshMs: 0 })).toBe(10 * MINUTE_MS);
  });

  it("is a year at most", () => {
    expect(at(0, { freshMs: Number.POSITIVE_INFINITY })).toBe(365 * 86_400_000);
  });
});
