import { describe, expect, it } from "vitest";
import { partOf, shareOf } from "../../../core/threads/share.ts";

describe("a thread's part of a number", () => {
  it("is such that all parts are the number, and that limits are never nothing", () => {
    for (const threads of [1, 2, 3, 7]) {
      for (const count of [0, 1, 2, 3, 10, 1000]) {
        const places = Array.from({ length: threads }, (_, thread) => ({ thread, threads }));
        const parts = places.map((place) => partOf(count, place));
        expect(parts.reduce((a, b) => a + b)).toBe(count);
        expect(Math.max(...parts) - Math.min(...parts)).toBeLessThanOrEqual(1);
        expect(places.map((place) => shareOf(count, place))).toEqual(parts.map((part) => Math.max(1, part)));
      }
    }
  });
});
