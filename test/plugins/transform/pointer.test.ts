import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../../core/errors.ts";
import { parseJson } from "../../../plugins/transform/json.ts";
import {
  type Document,
  moveAt,
  parsePointer,
  removeAt,
  setAt,
  wrapIn,
} from "../../../plugins/transform/pointer.ts";

const at = (text: string) => parsePointer(text, "");
const doc = (text: string): Document => ({ root: parseJson(text) });
const text = (document: Document): string => JSON.stringify(document.root);

function set(json: string, pointer: string, value: unknown): string {
  const document = doc(json);
  setAt(document, at(pointer), value);
  return text(document);
}

function remove(json: string, pointer: string): string {
  const document = doc(json);
  removeAt(document, at(pointer));
  return text(document);
}

function move(json: string, from: string, to: string): string {
  const document = doc(json);
  moveAt(document, at(from), at(to));
  return text(document);
}

describe("a JSON Pointer", () => {
  it.each([
    ["", []],
    ["/foo/0", ["foo", "0"]],
    ["/", [""]],
    ["/a~1b", ["a/b"]],
    ["/m~0n", ["m~n"]],
    ["/~01", ["~1"]],
    ["/ /c%d", [" ", "c%d"]],
  ])("%j has the tokens %j (RFC 6901 section 5)", (pointer, tokens) => {
    expect(at(pointer)).toEqual(["root", ...tokens]);
  });

  it.each(["a", "/~", "/a~2", "#/a"])("is not %j", (pointer) => {
    expect(() => at(pointer)).toThrow(ConfigError);
  });
});

describe("setting", () => {
  it.each([
    [`{"a":{"b":1,"c":2}}`, "/a/b", `{"a":{"b":9,"c":2}}`],
    [`{}`, "/a/b/c", `{"a":{"b":{"c":9}}}`],
    [`{"a":5}`, "/a/b", `{"a":{"b":9}}`],
    [`{"a":null}`, "/a/b", `{"a":{"b":9}}`],
    [`{"a":1e400}`, "/a/b", `{"a":{"b":9}}`],
    [`{"a":[1,2]}`, "/a/1", `{"a":[1,9]}`],
    [`{"a":[1,2]}`, "/a/2", `{"a":[1,2,9]}`],
    [`{"a":[1,2]}`, "/a/-", `{"a":[1,2,9]}`],
    [`{"a":[1,2]}`, "/a/-/b", `{"a":[1,2,{"b":9}]}`],
    [`{"a":[1,2]}`, "/a/3", `{"a":[1,2]}`],
    [`{"a":[1,2]}`, "/a/01", `{"a":[1,2]}`],
    [`{"a":[1,2]}`, "/a/length", `{"a":[1,2]}`],
    [`{"a":[1,2]}`, "/a/7/b", `{"a":[1,2]}`],
    [`{"a":1}`, "", `9`],
    [`5`, "/a", `{"a":9}`],
    [`[]`, "/0", `[9]`],
    [`{"":1}`, "/", `{"":9}`],
    [`{"a/b":1,"m~n":2}`, "/a~1b", `{"a/b":9,"m~n":2}`],
  ])("in %s at %s gives %s", (json, pointer, expected) => {
    expect(set(json, pointer, 9)).toBe(expected);
  });

  it("treats __proto__ and constructor as keys like any other", () => {
    expect(set(`{}`, "/__proto__/polluted", 9)).toBe(`{"__proto__":{"polluted":9}}`);
    expect(set(`{}`, "/constructor/prototype/polluted", 9)).toBe(
      `{"constructor":{"prototype":{"polluted":9}}}`,
    );
    expect(set(`{"__proto__":{"a":1}}`, "/__proto__/a", 9)).toBe(`{"__proto__":{"a":9}}`);
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  });
});

describe("removing", () => {
  it.each([
    [`{"a":{"b":1,"c":2}}`, "/a/b", `{"a":{"c":2}}`],
    [`{"a":[1,2,3]}`, "/a/1", `{"a":[1,3]}`],
    [`{"a":[1]}`, "/a/1", `{"a":[1]}`],
    [`{"a":[1]}`, "/a/-", `{"a":[1]}`],
    [`{"a":"text"}`, "/a/0", `{"a":"text"}`],
    [`{"a":1}`, "/b/c", `{"a":1}`],
    [`{"a":1}`, "/toString", `{"a":1}`],
    [`{"__proto__":1,"a":1}`, "/__proto__", `{"a":1}`],
    [`null`, "/a", `null`],
  ])("from %s at %s gives %s", (json, pointer, expected) => {
    expect(remove(json, pointer)).toBe(expected);
  });
});

describe("renaming", () => {
  it.each([
    [`{"a":1,"b":2}`, "/a", "/c", `{"b":2,"c":1}`],
    [`{"a":1,"b":2}`, "/a", "/b", `{"b":1}`],
    [`{"a":1}`, "/x", "/b", `{"a":1}`],
    [`{"a":1}`, "/a", "/a", `{"a":1}`],
    [`{"data":{"a":1}}`, "/data", "", `{"a":1}`],
    [`{"a":{"b":{"c":1}}}`, "/a/b", "/a", `{"a":{"c":1}}`],
    [`{"a":[1,2],"b":[]}`, "/a/0", "/b/-", `{"a":[2],"b":[1]}`],
    [`{"a":[1,2]}`, "/a/0", "/a/1", `{"a":[2,1]}`],
    [`{"a":[1,2],"b":[]}`, "/a/0", "/b/5", `{"a":[1,2],"b":[]}`],
    [`{"a":1,"b":[]}`, "/a", "/b/x", `{"b":[],"a":1}`],
    [`{"__proto__":1}`, "/__proto__", "/a", `{"a":1}`],
  ])("in %s from %s to %s gives %s", (json, from, to, expected) => {
    expect(move(json, from, to)).toBe(expected);
  });
});

describe("wrapping", () => {
  it("puts the document under the pointer, whatever it is", () => {
    for (const json of [`{"a":1}`, `[1]`, `null`, `"x"`]) {
      const document = doc(json);
      wrapIn(document, at("/data/0"));
      expect(text(document)).toBe(`{"data":{"0":${json}}}`);
    }
  });
});

describe("edits of objects", () => {
  const key = fc.constantFrom("a", "b", "~", "/", "", "__proto__", "0");
  const json = fc.letrec((tie) => ({
    leaf: fc.constantFrom(1, "x", null, true),
    tree: fc.oneof(
      { depthSize: "small" },
      tie("leaf"),
      fc.array(fc.tuple(key, tie("tree")), { maxLength: 4 }),
    ),
  })).tree as fc.Arbitrary<Tree>;
  /** An object as a list of pairs, so that the reference knows nothing of prototypes. */
  type Tree = string | number | boolean | null | [string, Tree][];

  /** Slow and obviously right: a document as the list of its leaves with their paths. */
  function leaves(value: unknown, path: readonly string[] = []): [string, unknown][] {
    if (typeof value !== "object" || value === null) return [[JSON.stringify(path), value]];
    const keys = Object.keys(value);
    if (keys.length === 0) return [[JSON.stringify(path), "{}"]];
    return keys.flatMap((k) => leaves(Object.getOwnPropertyDescriptor(value, k)!.value, [...path, k]));
  }

  function write(tree: Tree): string {
    if (!Array.isArray(tree)) return JSON.stringify(tree);
    return `{${tree.map(([k, v]) => `${JSON.stringify(k)}:${write(v)}`).join(",")}}`;
  }

  const path = fc.array(key, { minLength: 1, maxLength: 4 });
  const pointerOf = (tokens: string[]) =>
    tokens.map((t) => `/${t.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
  const startsWith = (whole: string[], start: string[]) => start.every((t, i) => whole[i] === t);
  const byPath = (list: [string, unknown][]) => new Map(list.filter(([, value]) => value !== "{}"));

  it("set the one place and leave every other leaf", () => {
    fc.assert(
      fc.property(json, path, (tree, tokens) => {
        const before = leaves(JSON.parse(write(tree)));
        const document = doc(write(tree));
        expect(setAt(document, at(pointerOf(tokens)), "new")).toBe(true);
        const expected = before.filter(([p]) => {
          const own = JSON.parse(p) as string[];
          return !startsWith(own, tokens) && !startsWith(tokens, own);
        });
        expect(byPath(leaves(document.root))).toEqual(byPath([...expected, [JSON.stringify(tokens), "new"]]));
      }),
    );
  });

  it("remove the one place and leave every other leaf", () => {
    fc.assert(
      fc.property(json, path, (tree, tokens) => {
        const before = leaves(JSON.parse(write(tree)));
        const document = doc(write(tree));
        removeAt(document, at(pointerOf(tokens)));
        const expected = before.filter(([p]) => !startsWith(JSON.parse(p), tokens));
        expect(byPath(leaves(document.root))).toEqual(byPath(expected));
      }),
    );
  });

  it("rename as remove and set together do", () => {
    fc.assert(
      fc.property(json, path, path, (tree, from, to) => {
        fc.pre(!startsWith(to, from));
        const document = doc(write(tree));
        const other = doc(write(tree));
        const value = from.reduce<unknown>(
          (v, t) =>
            typeof v === "object" && v !== null ? Object.getOwnPropertyDescriptor(v, t)?.value : undefined,
          other.root,
        );
        moveAt(document, at(pointerOf(from)), at(pointerOf(to)));
        if (value !== undefined) {
          removeAt(other, at(pointerOf(from)));
          setAt(other, at(pointerOf(to)), value);
        }
        expect(text(document)).toBe(text(other));
      }),
    );
  });
});

describe("JSON", () => {
  it.each([
    "12345678901234567890",
    "9007199254740993",
    "1.0",
    "1e2",
    "1E400",
    "-0",
    "-0.0",
    "0.1",
    "0.30000000000000001",
  ])("keeps the number %s as it is written", (number) => {
    expect(text(doc(`{"a":[${number}],"b":"${number}"}`))).toBe(`{"a":[${number}],"b":"${number}"}`);
  });

  it("keeps every number as it is written", () => {
    const number = fc.stringMatching(/^-?(0|[1-9]\d{0,25})(\.\d{1,20})?([eE][+-]?\d{1,4})?$/);
    fc.assert(
      fc.property(fc.array(number), (numbers) => {
        const json = `[${numbers.join(",")}]`;
        expect(text(doc(json))).toBe(json);
      }),
    );
  });
});
