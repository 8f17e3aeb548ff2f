import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  HeaderList,
  isFraming,
  isHeaderName,
  isHeaderValue,
  isHopByHop,
  isSameName,
  listMembers,
  trimBlanks,
} from "../../core/headers.ts";

const list = (...raw: string[]): HeaderList => new HeaderList(raw);

describe("header names and values", () => {
  it("loses the blanks around a value, and no others", () => {
    const text = fc.array(fc.constantFrom(..." \t\r\nab\xa0\v")).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, (value) => {
        expect(trimBlanks(value)).toBe(value.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, ""));
      }),
    );
  });

  it.each(["a", "x-a", "X_1", "!#$%&'*+-.^_`|~09AZaz"])("takes the name %j", (name) => {
    expect(isHeaderName(name)).toBe(true);
  });

  it.each(["", "a b", "a:", "é", "a\r", "a\n", "(a)", "a,b", "\0"])("refuses the name %j", (name) => {
    expect(isHeaderName(name)).toBe(false);
  });

  it.each(["", " ", "a\tb", "~", "caf\xe9", "\x80\xff"])("takes the value %j", (value) => {
    expect(isHeaderValue(value)).toBe(true);
  });

  it.each(["\r", "\n", "a\r\nb: c", "\0", "\x7f", "\x1f", "€", "\u0100"])("refuses the value %j", (value) => {
    expect(isHeaderValue(value)).toBe(false);
  });

  it("compares names without regard to case", () => {
    expect(isSameName("Content-TYPE", "content-type")).toBe(true);
    expect(isSameName("content-type", "content-type")).toBe(true);
    expect(isSameName("content-typ", "content-type")).toBe(false);
    expect(isSameName("content-typo", "content-type")).toBe(false);
  });

  it("splits lists into lower-case members without empty ones", () => {
    expect(listMembers(" A, b ,,C,\t")).toEqual(["a", "b", "c"]);
    expect(listMembers("")).toEqual([]);
  });

  it("knows the fields of one connection, in any case", () => {
    const names =
      "te upgrade trailer connection keep-alive proxy-connection transfer-encoding proxy-authenticate proxy-authorization";
    for (const name of names.split(" ")) {
      expect(isHopByHop(name)).toBe(true);
      expect(isHopByHop(name.toUpperCase())).toBe(true);
      expect(isHopByHop(name.replace(/.$/, "_"))).toBe(false);
    }
    for (const name of ["host", "content-length", "date", "x"]) expect(isHopByHop(name)).toBe(false);
  });

  it("knows the fields that frame a message", () => {
    const names =
      "connection content-length keep-alive proxy-connection te trailer transfer-encoding upgrade".split(" ");
    for (const name of names) expect(isFraming(name)).toBe(true);
    for (const name of ["host", "content-type", "via"]) expect(isFraming(name)).toBe(false);
  });
});

describe("a header list", () => {
  it("finds values by name in any case, and keeps the lines as they are", () => {
    const headers = list("X-A", "1", "x-b", "2", "x-a", "3");
    expect(headers.get("x-a")).toBe("1");
    expect(headers.getAll("x-a")).toEqual(["1", "3"]);
    expect(headers.getJoined("x-a")).toBe("1, 3");
    expect(headers.get("x-c")).toBeUndefined();
    expect(headers.getAll("x-c")).toEqual([]);
    expect(headers.getJoined("x-c")).toBeUndefined();
    expect([headers.has("x-b"), headers.has("x-c")]).toEqual([true, false]);
    expect(headers.raw).toEqual(["X-A", "1", "x-b", "2", "x-a", "3"]);
  });

  it("does not take a value for a name", () => {
    const headers = list("x-a", "x-b", "x-c", "d");
    expect(headers.has("x-b")).toBe(false);
    expect(headers.delete("x-b")).toBe(false);
  });

  it("has an empty value", () => {
    expect(list("x-a", "").has("x-a")).toBe(true);
  });

  it("sets one line in place of all of a name", () => {
    const headers = list("x-a", "1", "X-B", "2", "x-c", "3", "x-b", "4");
    headers.set("x-b", "9");
    expect(headers.raw).toEqual(["x-a", "1", "X-B", "9", "x-c", "3"]);
    headers.set("x-new", "n");
    expect(headers.raw).toEqual(["x-a", "1", "X-B", "9", "x-c", "3", "x-new", "n"]);
    headers.setChecked("x-a", "0");
    expect(headers.get("x-a")).toBe("0");
  });

  it("appends lines", () => {
    const headers = list("x-a", "1");
    headers.append("x-a", "2");
    expect(headers.raw).toEqual(["x-a", "1", "x-a", "2"]);
  });

  it("deletes all lines of a name and says whether there was one", () => {
    const headers = list("x-a", "1", "x-b", "2", "X-A", "3");
    expect(headers.delete("x-a")).toBe(true);
    expect(headers.raw).toEqual(["x-b", "2"]);
    expect(headers.delete("x-a")).toBe(false);
    expect(headers.delete("x-b")).toBe(true);
    expect(headers.raw).toEqual([]);
  });

  it("renames lines in place, replacing those of the new name", () => {
    const headers = list("b", "old", "A", "1", "c", "3", "a", "2");
    headers.rename("a", "b");
    expect(headers.raw).toEqual(["b", "1", "c", "3", "b", "2"]);
  });

  it("changes nothing when it renames what is not there, or to the same name", () => {
    const headers = list("a", "1", "b", "2");
    headers.rename("x", "b");
    headers.rename("a", "a");
    expect(headers.raw).toEqual(["a", "1", "b", "2"]);
  });

  it("adds a member once, and never to *", () => {
    const cases: [string[], string[]][] = [
      [[], ["vary", "Origin"]],
      [
        ["Vary", "Accept"],
        ["Vary", "Accept, Origin"],
      ],
      [
        ["vary", "Accept", "vary", "x"],
        ["vary", "Accept, x, Origin"],
      ],
      [
        ["vary", "accept, ORIGIN"],
        ["vary", "accept, ORIGIN"],
      ],
      [
        ["vary", "*"],
        ["vary", "*"],
      ],
      [
        ["vary", ""],
        ["vary", "Origin"],
      ],
      [
        ["vary", "origin-x"],
        ["vary", "origin-x, Origin"],
      ],
    ];
    for (const [before, after] of cases) {
      const headers = list(...before);
      headers.addMember("vary", "Origin");
      expect(headers.raw).toEqual(after);
    }
  });

  it("refuses names and values that are not valid, and changes nothing then", () => {
    const headers = list("a", "1");
    for (const [name, value] of [
      ["a b", "1"],
      ["a", "1\r\nset-cookie: x"],
      ["a", "€"],
    ] as const) {
      for (const change of ["set", "append"] as const) {
        expect(() => headers[change](name, value)).toThrow(
          expect.objectContaining({ code: "HEADER_INVALID" }),
        );
      }
    }
    expect(headers.raw).toEqual(["a", "1"]);
  });

  it("names the header but not its value in the refusal", () => {
    expect(() => list().set("authorization", "secret\n")).toThrow(/^The value of header authorization has/);
    expect(() => list().set("authorization", "secret\n")).not.toThrow(/secret/);
  });

  it("is copied by clone", () => {
    const headers = list("a", "1");
    const copy = headers.clone();
    copy.set("a", "2");
    expect([headers.get("a"), copy.get("a")]).toEqual(["1", "2"]);
  });

  it("does as a plain list of pairs would, whatever is done to it", () => {
    const name = fc.constantFrom("a", "A", "b", "B", "c");
    const lower = fc.constantFrom("a", "b", "c");
    const edit = fc.oneof(
      fc.tuple(fc.constant("set" as const), lower, fc.string({ maxLength: 2, unit: "grapheme-ascii" })),
      fc.tuple(fc.constant("append" as const), lower, fc.constant("v")),
      fc.tuple(fc.constant("delete" as const), lower, fc.constant("")),
      fc.tuple(fc.constant("rename" as const), lower, lower),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(name, fc.constantFrom("1", "2"))), fc.array(edit), (lines, edits) => {
        const headers = new HeaderList(lines.flat());
        let model: [string, string][] = lines.map(([n, v]) => [n, v]);
        const is = (n: string) => (line: [string, string]) => line[0].toLowerCase() === n;
        for (const [what, n, arg] of edits) {
          const at = model.findIndex(is(n));
          if (what === "append") model.push([n, arg]);
          else if (what === "delete") model = model.filter((line) => !is(n)(line));
          else if (what === "rename") {
            if (at !== -1 && n !== arg) {
              model = model
                .filter((line) => !is(arg)(line))
                .map((line) => (is(n)(line) ? [arg, line[1]] : line));
            }
          } else if (at === -1) model.push([n, arg]);
          else
            model = model.flatMap((line, i) =>
              i === at ? [[line[0], arg] as [string, string]] : is(n)(line) ? [] : [line],
            );
          if (what === "delete") headers.delete(n);
          else headers[what](n, arg);
          expect(headers.raw).toEqual(model.flat());
        }
      }),
    );
  });
});
