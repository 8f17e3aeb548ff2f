import { describe, expect, it } from "vitest";
import { invalidatedUrls, isUnsafe } from "../../../plugins/cache/invalidation.ts";
import { headersOf } from "../../support/cache-replies.ts";

const URL_ = "http://example.com/a/b?c";

describe("a reply to an unsafe request", () => {
  it("is one to any method that is not known to be safe", () => {
    expect(["GET", "HEAD", "OPTIONS", "TRACE"].some(isUnsafe)).toBe(false);
    expect(["POST", "PUT", "PATCH", "DELETE", "M-SEARCH", "get"].every(isUnsafe)).toBe(true);
  });

  it("invalidates its URL, and those of the same origin that it names", () => {
    expect(invalidatedUrls(URL_, 200, headersOf())).toEqual([URL_]);
    expect(invalidatedUrls(URL_, 201, headersOf("Location: x?y#z", "Content-Location: /q"))).toEqual([
      URL_,
      "http://example.com/a/x?y",
      "http://example.com/q",
    ]);
    expect(
      invalidatedUrls(URL_, 303, headersOf("Location: ", "Content-Location: http://EXAMPLE.com:80/a/b?c")),
    ).toEqual([URL_]);
  });

  it("invalidates nothing elsewhere (RFC 9111 section 4.4)", () => {
    for (const location of [
      "http://other.com/",
      "https://example.com/",
      "http://example.com:81/",
      "http://[",
      "//x/",
    ]) {
      expect(invalidatedUrls(URL_, 200, headersOf(`Location: ${location}`)), location).toEqual([URL_]);
    }
  });

  it("invalidates nothing when it is an error", () => {
    for (const status of [400, 404, 500, 503])
      expect(invalidatedUrls(URL_, status, headersOf()), `${status}`).toEqual([]);
  });
});
