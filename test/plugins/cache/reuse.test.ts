import { describe, expect, it } from "vitest";
import { ageMs, ageSeconds } from "../../../plugins/cache/age.ts";
import { readRequest } from "../../../plugins/cache/request.ts";
import { judgeReuse, mayServeOnError } from "../../../plugins/cache/reuse.ts";
import { headersOf, NOW, storedAs } from "../../support/cache-replies.ts";

/** What becomes of a reply so many seconds after it came, for a request with a Cache-Control. */
function reuse(reply: string, seconds: number, request?: string, isPurged = false) {
  const headers = request === undefined ? headersOf() : headersOf(`Cache-Control: ${request}`);
  const entry = storedAs([`Cache-Control: ${reply}`, 'ETag: "a"']);
  return judgeReuse(entry, readRequest(headers), NOW + seconds * 1000, isPurged);
}

describe("a stored response", () => {
  it("is used while it is fresh, and not from the moment on that it is stale", () => {
    expect(reuse("max-age=10", 9.999)).toBe("use");
    expect(reuse("max-age=10", 10)).toBe("stale");
    expect(reuse("max-age=0", 0)).toBe("stale");
    expect(reuse("max-age=10, no-cache", 0)).toBe("stale");
  });

  it("is no younger than when it came, whatever the clock says", () => {
    expect(ageMs(storedAs(["Cache-Control: max-age=10", "Age: 3"]), NOW - 5000)).toBe(8000);
    expect(ageSeconds(storedAs(["Cache-Control: max-age=10", "Age: 3"]), NOW + 1999)).toBe(4);
  });

  it("is validated when a request wants that", () => {
    expect(reuse("max-age=10", 1, "no-cache")).toBe("request");
    expect(reuse("max-age=10", 0, "max-age=0")).toBe("request");
    expect(reuse("max-age=10", 3, "max-age=3")).toBe("use");
    expect(reuse("max-age=10", 4, "max-age=3")).toBe("request");
    expect(reuse("max-age=10", 4, "max-age=x")).toBe("request");
    expect(reuse("max-age=10", 4, "min-fresh=6")).toBe("use");
    expect(reuse("max-age=10", 4, "min-fresh=7")).toBe("request");
    expect(reuse("max-age=10", 4, "min-fresh=x")).toBe("request");
    expect(reuse("max-age=10", 4, "no-store, nonsense")).toBe("use");
  });

  it("is used stale when the request takes that, and the reply did not forbid it", () => {
    expect(reuse("max-age=10", 15, "max-stale=5")).toBe("use");
    expect(reuse("max-age=10", 16, "max-stale=5")).toBe("stale");
    expect(reuse("max-age=10", 1e6, "max-stale")).toBe("use");
    expect(reuse("max-age=10", 11, "max-stale=x")).toBe("stale");
    expect(reuse("max-age=10", 15, "max-stale=9, max-age=12")).toBe("stale");
    expect(reuse("max-age=10", 15, "max-stale=9, max-age=15")).toBe("use");
    expect(reuse("max-age=10", 15, "max-stale, no-cache")).toBe("stale");
    expect(reuse("max-age=10", 15, "max-stale, min-fresh=1")).toBe("stale");
    for (const directive of ["must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache"]) {
      expect(reuse(`max-age=10, ${directive}`, 15, "max-stale"), directive).toBe("stale");
    }
  });

  it("is used while it is validated behind the reply, for as long as it says", () => {
    expect(reuse("max-age=10, stale-while-revalidate=5", 9)).toBe("use");
    expect(reuse("max-age=10, stale-while-revalidate=5", 14.9)).toBe("refresh");
    expect(reuse("max-age=10, stale-while-revalidate=5", 15)).toBe("stale");
    expect(reuse("max-age=10, stale-while-revalidate=5", 12, "no-cache")).toBe("stale");
    expect(reuse("max-age=10, stale-while-revalidate=5", 12, "max-age=60")).toBe("stale");
    expect(reuse("max-age=10, stale-while-revalidate=5, must-revalidate", 12)).toBe("stale");
  });

  it("is stale from a soft purge on", () => {
    expect(reuse("max-age=10", 1, undefined, true)).toBe("stale");
    expect(reuse("max-age=10, stale-while-revalidate=5", 1, undefined, true)).toBe("refresh");
    expect(reuse("max-age=10", 1, "max-stale", true)).toBe("use");
  });
});

describe("when the upstream fails, a stored response", () => {
  const serves = (reply: string, seconds: number, request = "") => {
    const entry = storedAs([`Cache-Control: ${reply}`, 'ETag: "a"']);
    return mayServeOnError(entry, readRequest(headersOf(`Cache-Control: ${request}`)), NOW + seconds * 1000);
  };

  it("is used as long as it says", () => {
    expect(serves("max-age=10", 10)).toBe(false);
    expect(serves("max-age=10, stale-if-error=5", 14.9)).toBe(true);
    expect(serves("max-age=10, stale-if-error=5", 15)).toBe(false);
  });

  it("is used when it is fresh, and only validated because the request wanted that", () => {
    expect(serves("max-age=10", 5, "max-age=1")).toBe(true);
    expect(serves("max-age=10", 5, "no-cache")).toBe(false);
  });

  it("is not used when it must be validated", () => {
    expect(serves("max-age=10, no-cache, stale-if-error=50", 5)).toBe(false);
    expect(serves("max-age=10, must-revalidate, stale-if-error=50", 15)).toBe(false);
  });
});
