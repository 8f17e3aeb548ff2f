import { describe, expect, it } from "vitest";
import { readRequest, SILENT } from "../../../plugins/cache/request.ts";
import { headersOf } from "../../support/cache-replies.ts";

const read = (...lines: string[]) => readRequest(headersOf(...lines));

describe("a request", () => {
  it("that says nothing is the same object each time", () => {
    expect(read("Host: a", "Accept: b", "If-Nope-Match: c", "Content-Type: d", "X-Rng: e")).toBe(SILENT);
  });

  it("says by directives what it takes", () => {
    expect(read("Cache-Control: no-cache, NO-STORE", "cache-control: only-if-cached")).toEqual({
      ...SILENT,
      noCache: true,
      noStore: true,
      onlyIfCached: true,
    });
    expect(read('Cache-Control: max-age="1", min-fresh=2, max-stale=3')).toEqual({
      ...SILENT,
      maxAgeMs: 1000,
      minFreshMs: 2000,
      maxStaleMs: 3000,
    });
    expect(read("Cache-Control: max-stale").maxStaleMs).toBe(Number.POSITIVE_INFINITY);
    expect(read("Cache-Control: nothing-to-see-here")).toEqual(SILENT);
  });

  it("with a directive that cannot be read takes the least", () => {
    expect(read("Cache-Control: max-age=a, min-fresh=-1, max-stale=b")).toEqual({
      ...SILENT,
      maxAgeMs: 0,
      minFreshMs: Number.POSITIVE_INFINITY,
    });
  });

  it("says no-cache by Pragma where it has no Cache-Control", () => {
    expect(read("Pragma: No-Cache, x").noCache).toBe(true);
    expect(read("Pragma: no-cachet").noCache).toBe(false);
    expect(read("Pragma: no-cache", "Cache-Control: max-age=1").noCache).toBe(false);
  });

  it("has conditions, ranges and credentials", () => {
    expect(
      read('If-None-Match: "a"', 'if-none-match: "b"', "If-Modified-Since: c", "Range: d", "If-Range: e"),
    ).toEqual({ ...SILENT, ifNoneMatch: '"a", "b"', ifModifiedSince: "c", range: "d", ifRange: "e" });
    expect(read("Authorization: x").isAuthorized).toBe(true);
    expect(read("If-Match: x").hasPrecondition).toBe(true);
    expect(read("If-Unmodified-Since: x").hasPrecondition).toBe(true);
  });
});
