import { describe, expect, it } from "vitest";
import { ageMs } from "../../../plugins/cache/age.ts";
import { freshen, judgeHead } from "../../../plugins/cache/freshen.ts";
import { headerOf } from "../../../plugins/cache/stored-headers.ts";
import { askedWith, at, headersOf, NOW, RULES, storedAs } from "../../support/cache-replies.ts";

const LATER = NOW + 20_000;
const ENTRY = storedAs([
  "Cache-Control: max-age=10",
  `Date: ${at(0)}`,
  'ETag: "a"',
  "Content-Length: 10",
  "Content-Type: a/b",
  "X-A: 1",
  "X-B: 1",
  "X-B: 2",
]);

const freshened = (lines: string[], asked = askedWith()) =>
  freshen(ENTRY, headersOf(...lines), asked, { requestedAtMs: LATER, respondedAtMs: LATER }, RULES);

describe("a 304", () => {
  it("makes an entry fresh again", () => {
    const { entry, refusal } = freshened([`Date: ${at(20)}`]);
    expect(refusal).toBeUndefined();
    expect(ageMs(entry, LATER)).toBe(0);
    expect(entry.freshMs).toBe(10_000);
    expect(entry.body).toBe(ENTRY.body);
  });

  it("counts as told now when it has no Date", () => {
    const { entry } = freshened([]);
    expect(headerOf(entry, "date")).toBe(at(20));
    expect(ageMs(entry, LATER)).toBe(0);
  });

  it("changes the fields that it has, and no others", () => {
    const { entry } = freshened([
      "cache-control: max-age=99",
      "x-b: 3",
      "X-C: 4",
      "Content-Type: c/d",
      "Age: 5",
    ]);
    expect(headerOf(entry, "x-a")).toBe("1");
    expect(entry.headers.filter((_, i) => entry.headers[i - 1]?.toLowerCase() === "x-b")).toEqual(["3"]);
    expect(headerOf(entry, "x-c")).toBe("4");
    expect(headerOf(entry, "content-type")).toBe("c/d");
    expect(headerOf(entry, "age")).toBeUndefined();
    expect([entry.freshMs, entry.initialAgeMs]).toEqual([99_000, 5000]);
  });

  it("leaves what the body depends on, and what selects it", () => {
    const { entry } = freshened([
      "Content-Length: 0",
      "Content-Encoding: br",
      'ETag: "b"',
      "Content-Range: x",
    ]);
    expect(headerOf(entry, "content-length")).toBe("10");
    expect(headerOf(entry, "content-encoding")).toBeUndefined();
    expect(headerOf(entry, "content-range")).toBeUndefined();
    expect(headerOf(entry, "etag")).toBe('"a"');
  });

  it("answers its client only, when it is not for all", () => {
    expect(freshened(["Cache-Control: no-store", "X-A: 2"])).toMatchObject({ refusal: "no-store" });
    expect(freshened([], askedWith(["Authorization: x"]))).toMatchObject({ refusal: "authorization" });
  });

  it("gives nobody's cookie to others", () => {
    expect(headerOf(freshened(["Set-Cookie: a=b"]).entry, "set-cookie")).toBeUndefined();
  });
});

describe("a reply to HEAD", () => {
  it("is about the same with a validator that is the same", () => {
    expect(judgeHead(ENTRY, 200, headersOf('ETag: "a"'))).toBe("same");
    expect(judgeHead(ENTRY, 200, headersOf('ETag: "a"', "Content-Length: 10"))).toBe("same");
  });

  it("is about something else when validators or length differ, or there is something else", () => {
    expect(judgeHead(ENTRY, 200, headersOf('ETag: "b"'))).toBe("other");
    expect(judgeHead(ENTRY, 200, headersOf("Content-Length: 11"))).toBe("other");
    expect(judgeHead(ENTRY, 200, headersOf(`Last-Modified: ${at(0)}`, 'ETag: "a"'))).toBe("other");
    for (const status of [204, 301, 404, 410]) {
      expect(judgeHead(ENTRY, status, headersOf('ETag: "a"'))).toBe("other");
    }
  });

  it("says nothing without validators, or when it is about who asks, or how", () => {
    expect(judgeHead(ENTRY, 200, headersOf("X: y", "Content-Length: 10"))).toBe("unknown");
    for (const status of [304, 401, 405, 429, 503]) {
      expect(judgeHead(ENTRY, status, headersOf('ETag: "b"'))).toBe("unknown");
    }
  });
});
