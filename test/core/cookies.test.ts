import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readCookie, takeCookie } from "../../core/cookies.ts";
import { headerList } from "../support/harness.ts";

const lines = (cookie: string | string[]) => headerList({ cookie });

describe("reading a cookie", () => {
  it.each([
    ["at=x", "x"],
    ["a=1; at=x; b=2", "x"],
    ["a=1;at=x", "x"],
    [" at = x ; b=2", "x"],
    ["at=", ""],
    ["at=a=b==", "a=b=="],
    ['at="a b"', '"a b"'],
    ["at=1,2; b=3", "1,2"],
    ["at=%20", "%20"],
    ["at=x; at=y", "x"],
    [["a=1", "at=x; b=2", "at=y"], "x"],
    ["that=x; at2=y; b=at=1; b=1, at=2", undefined],
    ["AT=x", undefined],
    ["at", undefined],
    ["", undefined],
    ["=at; at; =", undefined],
  ])("finds in %j: %j", (cookie, value) => {
    expect(readCookie(lines(cookie), "at")).toBe(value);
  });

  it("finds it whatever the case of the header's name, and in no other header", () => {
    expect(readCookie(headerList(["X", "at=1", "Cookie2", "at=2", "COOKIE", "at=3"]), "at")).toBe("3");
    expect(readCookie(headerList(["A", "at=1", "Cookie2", "at=2"]), "at")).toBeUndefined();
  });

  it("leaves the request as it is", () => {
    const headers = headerList(["A", "1", "Cookie", " a=1;at = x "]);
    readCookie(headers, "at");
    expect(headers.raw).toEqual(["A", "1", "Cookie", " a=1;at = x "]);
  });

  it("takes names for what they are, not for patterns", () => {
    expect(readCookie(lines("axb=1; a.b=2"), "a.b")).toBe("2");
    expect(readCookie(lines("a=1"), "__proto__")).toBeUndefined();
  });
});

describe("taking a cookie", () => {
  it.each([
    ["at=x", ["x"], []],
    ["at=x; b=2", ["x"], ["b=2"]],
    ["a=1; at=x; b=2", ["x"], ["a=1; b=2"]],
    ["a=1;at=x", ["x"], ["a=1"]],
    ["at=x; at=y", ["x", "y"], []],
    ["at=a=b", ["a=b"], []],
    ["that=x; at2=y; b=at=1", [], ["that=x; at2=y; b=at=1"]],
    ["a=1; at", [], ["a=1; at"]],
    ['a="1,2"; at=x; a=3', ["x"], ['a="1,2"; a=3']],
    [
      ["at=x", "a=1; at=y", "b=2", "at=z"],
      ["x", "y", "z"],
      ["a=1", "b=2"],
    ],
  ])("of %j gives %j and leaves %j", (cookie, values, left) => {
    const headers = lines(cookie);
    expect(takeCookie(headers, "at")).toEqual(values);
    expect(headers.getAll("cookie")).toEqual(left);
  });

  it("keeps other headers", () => {
    const headers = headerList([
      "A",
      "1",
      "Cookie",
      "at=x",
      "COOKIE",
      "at=y",
      "Cookie2",
      "at=z",
      "B",
      "at=2",
    ]);
    expect(takeCookie(headers, "at")).toEqual(["x", "y"]);
    expect(headers.raw).toEqual(["A", "1", "Cookie2", "at=z", "B", "at=2"]);
  });

  it("gives what reading finds, leaves nothing to be found, and keeps the others in order", () => {
    const token = fc.string({ unit: fc.constantFrom("a", "t", "1", ",", '"', "%"), maxLength: 3 });
    const pair = fc.tuple(fc.constantFrom("at", "a", "t", "tat", "ata"), token);
    fc.assert(
      fc.property(fc.array(fc.array(pair, { minLength: 1 })), (sent) => {
        const headers = headerList({ cookie: sent.map((line) => line.map((p) => p.join("=")).join("; ")) });
        const first = readCookie(headers, "at");
        const values = takeCookie(headers, "at");
        expect(values[0]).toBe(first);
        expect(values).toEqual(sent.flat().flatMap(([name, value]) => (name === "at" ? [value] : [])));
        expect(readCookie(headers, "at")).toBeUndefined();
        expect(headers.getAll("cookie").flatMap((line) => line.split("; "))).toEqual(
          sent.flat().flatMap((p) => (p[0] === "at" ? [] : [p.join("=")])),
        );
      }),
    );
  });
});
