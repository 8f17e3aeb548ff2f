import { describe, expect, it } from "vitest";
import { answerRange } from "../../../plugins/cache/range.ts";
import { readRequest } from "../../../plugins/cache/request.ts";
import { at, headersOf, NOW, storedAs } from "../../support/cache-replies.ts";

const FRESH = "Cache-Control: max-age=60";
const WHOLE = storedAs([FRESH, 'ETag: "a"', `Last-Modified: ${at(-100)}`]);
const PART = storedAs([FRESH, 'ETag: "a"', "Content-Range: bytes 4-7/10"], "4567", { status: 206 });

/** In short: the bytes and where they are from, or what becomes of it. */
function answer(entry: typeof WHOLE, ...lines: string[]): string {
  const given = answerRange(entry, readRequest(headersOf(...lines)), NOW);
  if (given.kind === "part") return `${given.body} ${given.contentRange}`;
  return given.kind === "unsatisfiable" ? given.contentRange : given.kind;
}

describe("a range", () => {
  it("is cut out of a stored whole", () => {
    expect(answer(WHOLE, "Range: bytes=0-1")).toBe("01 bytes 0-1/10");
    expect(answer(WHOLE, "Range: bytes=8-")).toBe("89 bytes 8-9/10");
    expect(answer(WHOLE, "Range: bytes=-3")).toBe("789 bytes 7-9/10");
    expect(answer(WHOLE, "Range: bytes=5-99")).toBe("56789 bytes 5-9/10");
    expect(answer(WHOLE, "Range: bytes=-99")).toBe("0123456789 bytes 0-9/10");
    expect(answer(WHOLE, "Range: BYTES= 9-9 ")).toBe("9 bytes 9-9/10");
  });

  it("is refused when there is nothing in it", () => {
    expect(answer(WHOLE, "Range: bytes=10-")).toBe("bytes */10");
    expect(answer(WHOLE, "Range: bytes=-0")).toBe("bytes */10");
    expect(answer(storedAs([FRESH], ""), "Range: bytes=-1")).toBe("bytes */0");
  });

  it("is ignored when it is none, or there are several", () => {
    for (const range of [
      "bytes=",
      "bytes=-",
      "bytes=2-1",
      "bytes=a-b",
      "lines=0-1",
      "bytes=0-1, 4-5",
      "0-1",
    ]) {
      expect(answer(WHOLE, `Range: ${range}`), range).toBe("whole");
    }
    expect(answer(WHOLE, "Range: bytes=0-1", "Range: bytes=0-1")).toBe("whole");
    expect(answer(WHOLE)).toBe("whole");
    expect(answer(storedAs([FRESH], "0123", { status: 404 }), "Range: bytes=0-1")).toBe("whole");
  });

  it("is of the same version that If-Range names, or ignored", () => {
    const range = "Range: bytes=0-1";
    expect(answer(WHOLE, range, 'If-Range: "a"')).toBe("01 bytes 0-1/10");
    expect(answer(WHOLE, range, 'If-Range: "b"')).toBe("whole");
    expect(answer(WHOLE, range, 'If-Range: W/"a"')).toBe("whole");
    expect(answer(storedAs([FRESH, 'ETag: W/"a"']), range, 'If-Range: W/"a"')).toBe("whole");
    expect(answer(WHOLE, range, `If-Range: ${at(-100)}`)).toBe("01 bytes 0-1/10");
    expect(answer(WHOLE, range, `If-Range: ${at(-99)}`)).toBe("whole");
    expect(answer(storedAs([FRESH, `Last-Modified: ${at(0)}`]), range, `If-Range: ${at(0)}`)).toBe("whole");
    expect(answer(storedAs([FRESH]), range, `If-Range: ${at(0)}`)).toBe("whole");
  });

  it("is cut out of a stored part that it lies in", () => {
    expect(answer(PART, "Range: bytes=4-7")).toBe("4567 bytes 4-7/10");
    expect(answer(PART, "Range: bytes=5-6")).toBe("56 bytes 5-6/10");
    expect(answer(PART, "Range: bytes=12-")).toBe("bytes */10");
    for (const range of ["bytes=3-7", "bytes=4-8", "bytes=5-", "bytes=-3", "bytes=4-5, 6-7"]) {
      expect(answer(PART, `Range: ${range}`), range).toBe("missing");
    }
    expect(answer(PART)).toBe("missing");
    expect(answer(PART, "Range: bytes=4-7", 'If-Range: "b"')).toBe("missing");
  });
});
