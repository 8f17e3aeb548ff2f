import { describe, expect, it } from "vitest";
import { askToValidate, isNotModified, notModifiedHeaders } from "../../../plugins/cache/conditional.ts";
import { readRequest } from "../../../plugins/cache/request.ts";
import { at, headersOf, NOW, storedAs } from "../../support/cache-replies.ts";

const FRESH = "Cache-Control: max-age=60";
const isSame = (reply: string[], request: string[], status = 200) =>
  isNotModified(storedAs([FRESH, ...reply], "", { status }), readRequest(headersOf(...request)), NOW);

describe("a 304 from the cache", () => {
  it("answers If-None-Match with the entity tag, strong or weak, alone or among others", () => {
    for (const value of ['"a"', 'W/"a"', '"x", "a"', '"x,y",W/"a" , "z"', "*", ' "a" ', '"\\", "a"']) {
      expect(isSame(['ETag: "a"'], [`If-None-Match: ${value}`]), value).toBe(true);
      expect(isSame(['ETag: W/"a"'], [`If-None-Match: ${value}`]), value).toBe(true);
    }
    for (const value of ['"b"', "a", '"A"', '"a', 'w/"a"', '""']) {
      expect(isSame(['ETag: "a"'], [`If-None-Match: ${value}`]), value).toBe(false);
    }
    expect(isSame(["ETag: a"], ["If-None-Match: a"])).toBe(true);
    expect(isSame([], ['If-None-Match: "a"'])).toBe(false);
    expect(isSame(['ETag: "b"'], ['If-None-Match: "a"', 'If-None-Match: "b"'])).toBe(true);
  });

  it("looks at If-Modified-Since only without If-None-Match", () => {
    const modified = `Last-Modified: ${at(-10)}`;
    expect(isSame([modified], [`If-Modified-Since: ${at(-10)}`])).toBe(true);
    expect(isSame([modified], [`If-Modified-Since: ${at(-9)}`])).toBe(true);
    expect(isSame([modified], [`If-Modified-Since: ${at(-11)}`])).toBe(false);
    expect(isSame([modified], ["If-Modified-Since: yesterday"])).toBe(false);
    expect(isSame(['ETag: "a"', modified], ['If-None-Match: "b"', `If-Modified-Since: ${at(0)}`])).toBe(
      false,
    );
    expect(isSame(['ETag: "a"', modified], ['If-None-Match: "a"', `If-Modified-Since: ${at(-99)}`])).toBe(
      true,
    );
  });

  it("goes by Date where there is no Last-Modified", () => {
    expect(isSame([`Date: ${at(-5)}`], [`If-Modified-Since: ${at(-5)}`])).toBe(true);
    expect(isSame([`Date: ${at(-5)}`], [`If-Modified-Since: ${at(-6)}`])).toBe(false);
    expect(isSame(["Date: once"], [`If-Modified-Since: ${at(0)}`])).toBe(true);
  });

  it("is not given for what is no success, nor to requests without conditions", () => {
    expect(isSame(['ETag: "a"'], ['If-None-Match: "a"'], 404)).toBe(false);
    expect(isSame(['ETag: "a"'], ["A: b"])).toBe(false);
  });

  it("has all headers but those of the representation", () => {
    const entry = storedAs([
      FRESH,
      `Date: ${at(0)}`,
      "Content-Type: a/b",
      "Content-Location: /c",
      'ETag: "a"',
      "X: y",
    ]);
    expect(notModifiedHeaders(entry)).toEqual(
      [FRESH, `Date: ${at(0)}`, "Content-Location: /c", 'ETag: "a"', "X: y"].flatMap(
        (line) => headersOf(line).raw,
      ),
    );
  });
});

describe("a request that validates", () => {
  it("has the entry's validators in place of the client's conditions", () => {
    const lines = [
      'If-None-Match: "b"',
      `If-Modified-Since: ${at(0)}`,
      "Range: bytes=0-1",
      'If-Range: "b"',
      "A: b",
    ];
    const headers = headersOf(...lines, 'If-Match: "c"', `If-Unmodified-Since: ${at(0)}`);
    askToValidate(headers, storedAs([FRESH, 'ETag: W/"a"', `Last-Modified: ${at(-10)}`]));
    expect(headers.raw).toEqual(["A", "b", "if-none-match", 'W/"a"', "if-modified-since", at(-10)]);
  });
});
