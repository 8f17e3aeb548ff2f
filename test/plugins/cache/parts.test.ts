import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Entry } from "../../../plugins/cache/entry.ts";
import { joinPart } from "../../../plugins/cache/parts.ts";
import { headerOf } from "../../../plugins/cache/stored-headers.ts";
import { at, storedAs } from "../../support/cache-replies.ts";

const WHOLE = "0123456789";

/** The bytes from `first` up to `end`, as a 206 would have brought them. */
function part(first: number, end: number, ...lines: string[]): Entry {
  const all = ["Cache-Control: max-age=60", `Content-Range: bytes ${first}-${end - 1}/10`, ...lines];
  if (!lines.some((line) => line.startsWith("ETag"))) all.push('ETag: "a"');
  return storedAs(all, WHOLE.slice(first, end), { status: 206 });
}

/** What is stored in the end, in short. */
function joined(stored: Entry, came: Entry, maxBytes = 100): string {
  const entry = joinPart(came, [stored], maxBytes)!;
  const range = entry.part === undefined ? "whole" : `from ${entry.part.first} of ${entry.part.total}`;
  return `${entry.status} ${entry.body} ${range}`;
}

describe("a part that has come", () => {
  it("is joined with one that it meets", () => {
    expect(joined(part(2, 4), part(4, 6))).toBe("206 2345 from 2 of 10");
    expect(joined(part(4, 6), part(2, 5))).toBe("206 2345 from 2 of 10");
    expect(joined(part(2, 8), part(4, 6))).toBe("206 234567 from 2 of 10");
    expect(joined(part(4, 6), part(2, 8))).toBe("206 234567 from 2 of 10");
  });

  it("is the whole with what was missing", () => {
    const entry = joinPart(part(5, 10, "X-A: 2", `Date: ${at(1)}`), [part(0, 5, "X-A: 1", "X-B: 1")], 100)!;
    expect(joined(part(0, 5), part(5, 10))).toBe("200 0123456789 whole");
    expect(headerOf(entry, "content-range")).toBeUndefined();
    expect(["content-length", "x-a", "x-b", "date"].map((name) => headerOf(entry, name))).toEqual([
      "10",
      "2",
      "1",
      at(1),
    ]);
    expect(joined(storedAs(["Cache-Control: max-age=60", 'ETag: "a"']), part(2, 4))).toBe(
      "200 0123456789 whole",
    );
  });

  it("takes the place of one that it does not meet, or would be too long with", () => {
    expect(joined(part(0, 2), part(4, 6))).toBe("206 45 from 4 of 10");
    expect(joined(part(0, 4), part(4, 6), 5)).toBe("206 45 from 4 of 10");
  });

  it("is not joined with what may be another version", () => {
    const came = part(4, 6);
    for (const stored of [
      part(2, 4, 'ETag: "b"'),
      part(2, 4, "Content-Encoding: gzip"),
      { ...part(2, 4), part: { first: 2, total: 11 } },
      { ...part(2, 4), vary: ["a", "b"] },
    ]) {
      expect(joined(stored, came)).toBe("206 45 from 4 of 10");
    }
    expect(joined(part(2, 4, 'ETag: W/"a"'), part(4, 6, 'ETag: W/"a"'))).toBe("206 45 from 4 of 10");
    expect(joined(part(2, 4, "ETag: a"), part(4, 6, "ETag: a"))).toBe("206 45 from 4 of 10");
  });

  it("is nothing when its body is not as long as it says", () => {
    expect(joinPart({ ...part(4, 6), body: Buffer.from("4") }, [], 100)).toBeUndefined();
  });

  it("is concerned by the purges that concern what it was joined with", () => {
    expect(joinPart({ ...part(4, 6), version: 7 }, [{ ...part(2, 4), version: 5 }], 100)!.version).toBe(5);
  });

  it("never changes a byte", () => {
    const bounds = fc
      .tuple(fc.nat(9), fc.nat(9))
      .map(([a, b]) => [Math.min(a, b), Math.max(a, b) + 1] as const);
    fc.assert(
      fc.property(fc.array(bounds, { minLength: 1, maxLength: 6 }), (all) => {
        let stored: Entry | undefined;
        for (const [first, end] of all) {
          stored = joinPart(part(first, end), stored === undefined ? [] : [stored], 100)!;
          const from = stored.part?.first ?? 0;
          expect(`${stored.body}`).toBe(WHOLE.slice(from, from + stored.body.length));
          expect(from <= first && from + stored.body.length >= end).toBe(true);
        }
      }),
    );
  });
});
