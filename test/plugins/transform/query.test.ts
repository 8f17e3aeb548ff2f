import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FieldEdits } from "../../../plugins/transform/headers.ts";
import { compileQueryEdit } from "../../../plugins/transform/query.ts";
import { exchange } from "../../support/harness.ts";

const NONE: FieldEdits = { remove: [], rename: {}, set: {}, add: {} };

function edit(search: string, edits: Partial<FieldEdits>): string {
  const run = compileQueryEdit({ ...NONE, ...edits }, "/request/query");
  return run === undefined
    ? search
    : run(search, exchange({ target: `/${search}`, params: { id: "a b&c" } }));
}

describe("query edits", () => {
  it.each<[string, Partial<FieldEdits>, string]>([
    ["?a=1&b=2&a=3", { remove: ["a"] }, "?b=2"],
    ["?a=1", { remove: ["a"] }, ""],
    ["?a=1", { remove: ["b"] }, "?a=1"],
    ["?", { remove: ["b"], add: { c: "{consumer.name}" } }, "?"],
    ["?%61=1&b", { remove: ["a"] }, "?b"],
    ["?a+b=1&c", { remove: ["a b"] }, "?c"],
    ["?%zz=1&c", { remove: ["%zz"] }, "?c"],
    ["?a=%20+%2f&b=1", { rename: { a: "x y" } }, "?x%20y=%20+%2f&b=1"],
    ["?a&b=1", { rename: { a: "c" } }, "?c&b=1"],
    ["?b=1&a=2&b=3&a=4", { rename: { a: "b" } }, "?b=2&b=4"],
    ["?b=1", { rename: { a: "b" } }, "?b=1"],
    ["?a=1", { rename: { a: "a" } }, "?a=1"],
    ["?x=0&a=1&y&a=2&z=%7e", { set: { a: "9" } }, "?x=0&a=9&y&z=%7e"],
    ["", { set: { a: "9" } }, "?a=9"],
    ["?", { set: { a: "9" } }, "?a=9"],
    ["?a=1", { set: { a: ["8", "9"] } }, "?a=8&a=9"],
    ["?a=1", { set: { a: "{id}" } }, "?a=a%20b%26c"],
    ["?a=1", { set: { a: "{consumer.name}" } }, "?a=1"],
    ["?a=1", { set: { "é&": "=" } }, "?a=1&%C3%A9%26=%3D"],
    ["?a=1", { add: { a: "2", b: ["3", "4"] } }, "?a=1&a=2&b=3&b=4"],
    ["?a=1&&b=%GG+%20&", { add: { c: "1" } }, "?a=1&&b=%GG+%20&&c=1"],
    ["?a=1", {}, "?a=1"],
  ])("of %s by %j give %s", (search, edits, expected) => {
    expect(edit(search, edits)).toBe(expected);
  });

  it("come in the order remove, rename, set, add", () => {
    const edits = { add: { c: "added" }, set: { b: "set" }, rename: { a: "b", d: "c" }, remove: ["c"] };
    expect(edit("?a=1&c=2&d=3", edits)).toBe("?b=set&c=3&c=added");
  });

  it("do nothing at all when there are none", () => {
    expect(compileQueryEdit(NONE, "")).toBeUndefined();
    expect(compileQueryEdit(undefined, "")).toBeUndefined();
  });

  it("say where a template is wrong", () => {
    const run = (edits: Partial<FieldEdits>) => () =>
      compileQueryEdit({ ...NONE, ...edits }, "/request/query");
    expect(run({ set: { a: "{" } })).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ pointer: "/request/query/set/a" })] }),
    );
    expect(run({ add: { a: ["x", "}"] } })).toThrow(
      expect.objectContaining({ problems: [expect.objectContaining({ pointer: "/request/query/add/a/1" })] }),
    );
  });

  const name = fc.constantFrom("a", "b", "a b", "é", "&=", "%41");
  const piece = fc.oneof(
    fc
      .tuple(name, fc.string())
      .map(([n, v]) => `${encodeURIComponent(n)}=${encodeURIComponent(v.toWellFormed())}`),
    fc.tuple(name, fc.string()).map(([n, v]) => new URLSearchParams([[n, v.toWellFormed()]]).toString()),
    fc.stringMatching(/^[a-f0-9%+=!~]{0,8}$/),
  );
  const query = fc.array(piece, { maxLength: 6 });
  const parse = (search: string) => new URLSearchParams(search);

  it("mean what they mean to URLSearchParams", () => {
    fc.assert(
      fc.property(query, name, fc.string({ unit: "grapheme" }), (pieces, target, value) => {
        const literal = value.toWellFormed().replaceAll("{", "{{").replaceAll("}", "}}");
        const search = `?${pieces.join("&")}`;
        const removed = parse(search);
        removed.delete(target);
        expect([...parse(edit(search, { remove: [target] }))]).toEqual([...removed]);
        const changed = parse(search);
        changed.set(target, value.toWellFormed());
        expect([...parse(edit(search, { set: { [target]: literal } }))]).toEqual([...changed]);
        const joined = parse(search);
        joined.append(target, value.toWellFormed());
        expect([...parse(edit(search, { add: { [target]: literal } }))]).toEqual([...joined]);
      }),
    );
  });

  it("leave every other parameter byte for byte and in its place", () => {
    fc.assert(
      fc.property(query, name, (pieces, target) => {
        const others = (list: string[]) => list.filter((text) => !parse(`?${text}`).has(target));
        const search = `?${pieces.join("&")}`;
        for (const edits of [
          { remove: [target] },
          { set: { [target]: "v" } },
          { rename: { [target]: "new" } },
        ]) {
          const after = edit(search, edits).slice(1).split("&");
          const rest = after.filter((text) => !/^new(=|$)/.test(text));
          expect(others(rest).filter((t) => t !== "")).toEqual(others(pieces).filter((t) => t !== ""));
        }
      }),
    );
  });
});
