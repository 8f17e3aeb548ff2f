import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  collapseSlashes,
  comparablePath,
  decodeSegment,
  hasDotSegments,
  PathTrie,
  paramNames,
  pathPatternProblem,
  staticPrefix,
} from "../../core/path.ts";

describe("dot segments", () => {
  it.each([
    "/.",
    "/..",
    "/a/.",
    "/a/..",
    "/a/../b",
    "/a/./b",
    "/%2e",
    "/%2E%2e/a",
    "/.%2e/a",
    "/a/..;/b",
    "/a/..;x=1",
    "/a\\..\\b",
    "\\..",
    "/a/..%2fb",
    "/a%2F..%2Fb",
    "/a%5c..%5cb",
    "/..%5c",
  ])("are found in %s", (path) => expect(hasDotSegments(path)).toBe(true));

  it.each([
    "/",
    "/a",
    "/.a",
    "/a.",
    "/a..b",
    "/...",
    "/a/...",
    "/.well-known/x",
    "/a/b..",
    "/%2ea",
    "/a%2fb",
    "/a;..b",
  ])("are not found in %s", (path) => expect(hasDotSegments(path)).toBe(false));
});

describe("paths as they are compared", () => {
  it.each([
    ["/", "/"],
    ["//", "/"],
    ["/a//b///c/", "/a/b/c/"],
    ["//a", "/a"],
    ["/a%2f%2fb", "/a%2f%2fb"],
    ["/%61%2Fb", "/%61%2Fb"],
  ])("by patterns: %s is %s", (path, seen) => expect(collapseSlashes(path)).toBe(seen));

  it.each([
    ["/a", "/a"],
    ["/%61dmin", "/admin"],
    ["//%41%5A%7a%30%39%2d%5f%7E%2E", "/AZz09-_~."],
    ["/%2561", "/%2561"],
    ["/%2f%20%e9%C3%A9%40%5B%60%7b%3a%2c", "/%2f%20%e9%C3%A9%40%5B%60%7b%3a%2c"],
    ["/%", "/%"],
    ["/%6", "/%6"],
  ])("by regular expressions: %s is %s", (path, seen) => expect(comparablePath(path)).toBe(seen));

  it("by regular expressions: unreserved characters and nothing else are decoded", () => {
    for (let code = 0; code < 256; code++) {
      const encoded = `%${code.toString(16).padStart(2, "0")}`;
      const c = String.fromCharCode(code);
      expect(comparablePath(`/${encoded}`)).toBe(/[A-Za-z0-9._~-]/.test(c) ? `/${c}` : `/${encoded}`);
    }
  });

  it("segments are decoded, unless they are not UTF-8", () => {
    expect(["a%20b", "%e2%82%ac", "%2F", "%ff", "%", "a%zz"].map(decodeSegment)).toEqual([
      "a b",
      "€",
      "/",
      "%ff",
      "%",
      "a%zz",
    ]);
  });
});

/** Patterns found for a path, best first. */
function found(patterns: string[], path: string): unknown[] {
  const trie = new PathTrie<string>();
  for (const pattern of patterns) trie.leaf(pattern, () => pattern);
  const all: unknown[] = [];
  const accept = (leaf: string, values: readonly string[], rest: string | undefined): undefined => {
    all.push([leaf, ...values, ...(rest === undefined ? [] : [`*${rest}`])]);
  };
  trie.findFull(path, accept);
  trie.findPrefix(path, accept);
  return all;
}

describe("a path trie", () => {
  it.each<[string, string[], string, unknown[]]>([
    ["matches a literal", ["/a/b"], "/a/b", [["/a/b"]]],
    ["does not match more or less", ["/a/b"], "/a", []],
    ["does not match deeper", ["/a"], "/a/b", []],
    ["matches the root", ["/"], "/", [["/"]]],
    ["tells a trailing slash apart", ["/a", "/a/"], "/a/", [["/a/"]]],
    ["tells no trailing slash apart", ["/a", "/a/"], "/a", [["/a"]]],
    ["gives params in order", ["/:a/x/:b"], "/1/x/2", [["/:a/x/:b", "1", "2"]]],
    ["decodes params", ["/:a"], "/%20%2F", [["/:a", " /"]]],
    ["does not take an empty segment for a param", ["/a/:b"], "/a/", []],
    ["compares decoded literals", ["/é"], "/%C3%A9", [["/é"]]],
    ["compares encoded patterns", ["/a%20b"], "/a%20b", [["/a%20b"]]],
    ["has a case", ["/A"], "/a", []],
    [
      "puts literals before params",
      ["/:a/b", "/a/:b", "/a/b"],
      "/a/b",
      [["/a/b"], ["/a/:b", "b"], ["/:a/b", "a"]],
    ],
    ["goes back when a literal leads nowhere", ["/a/x", "/:p/b"], "/a/b", [["/:p/b", "a"]]],
    ["matches a prefix with the rest in wire form", ["/a/*"], "/a/b%20c/d", [["/a/*", "*b%20c/d"]]],
    ["matches a prefix without its slash", ["/a/*"], "/a", [["/a/*", "*"]]],
    ["matches a prefix with its slash", ["/a/*"], "/a/", [["/a/*", "*"]]],
    ["does not match half a segment", ["/a/*"], "/ab", []],
    ["matches everything", ["/*"], "/a/b", [["/*", "*a/b"]]],
    ["matches everything at the root", ["/*"], "/", [["/*", "*"]]],
    [
      "puts longer prefixes first",
      ["/*", "/a/*", "/a/b/*"],
      "/a/b/c",
      [
        ["/a/b/*", "*c"],
        ["/a/*", "*b/c"],
        ["/*", "*a/b/c"],
      ],
    ],
    [
      "puts literals before longer params",
      ["/:p/b/*", "/a/*"],
      "/a/b/c",
      [
        ["/a/*", "*b/c"],
        ["/:p/b/*", "a", "*c"],
      ],
    ],
    ["has params in prefixes", ["/:a/*"], "/x/y", [["/:a/*", "x", "*y"]]],
  ])("%s", (_what, patterns, path, matches) => expect(found(patterns, path)).toEqual(matches));

  it("holds one thing for patterns that differ in names of params or encoding only", () => {
    const trie = new PathTrie<object>();
    expect(trie.leaf("/a/:x", () => ({}))).toBe(trie.leaf("/%61/:y", () => ({})));
    expect(trie.leaf("/a/*", () => ({}))).not.toBe(trie.leaf("/a", () => ({})));
  });

  it("stops at the first that is accepted", () => {
    const trie = new PathTrie<string>();
    for (const pattern of ["/a", "/:p"]) trie.leaf(pattern, () => pattern);
    expect(trie.findFull("/a", (leaf) => leaf)).toBe("/a");
    expect(trie.findFull("/a", (leaf, values) => (leaf === "/:p" ? values.join() : undefined))).toBe("a");
    expect(trie.findFull("/b", (leaf) => (leaf === "/a" ? 1 : undefined))).toBeUndefined();
  });

  it("takes names of Object's own properties for names", () => {
    expect(found(["/constructor"], "/__proto__")).toEqual([]);
    expect(found(["/__proto__"], "/__proto__")).toEqual([["/__proto__"]]);
  });
});

describe("path patterns", () => {
  it("name their params", () => {
    expect(paramNames("/a/:id/b/:x_1")).toEqual(["id", "x_1"]);
    expect(paramNames("/a/*")).toEqual([]);
  });

  it.each([
    "/",
    "/a",
    "/a/",
    "/a/:id",
    "/a/*",
    "/*",
    "/:a/:b/*",
    "/a:1",
    "/a%3Ab",
    "/a%20b",
    "/a/b:",
    "/.well-known",
  ])("may be %s", (pattern) => expect(pathPatternProblem(pattern)).toBeUndefined());

  it.each([
    ["/a//b", "empty segment"],
    ["//", "empty segment"],
    ["/*/a", "only be the last"],
    ["/a*", "segment of its own"],
    ["/a/b*c", "segment of its own"],
    ["/**", "segment of its own"],
    ["/:", "is not valid"],
    ["/:1a", "is not valid"],
    ["/:a-b", "is not valid"],
    ["/:a/:a", "appears twice"],
    ["/v:id", "whole segment"],
    ["/a?b", "no query"],
    ["/a#b", "no query"],
    ["/a b", "no query"],
    ["/a/../b", "`.` or `..`"],
    ["/%2e/b", "`.` or `..`"],
  ])("may not be %s", (pattern, message) => expect(pathPatternProblem(pattern)).toContain(message));

  it.each([
    ["/api/*", "/api"],
    ["/*", ""],
    ["/a/b/*", "/a/b"],
    ["/a", undefined],
    ["/:v/*", undefined],
    ["/a/:v/*", undefined],
  ])("have a static prefix or none: %s", (pattern, prefix) => expect(staticPrefix(pattern)).toBe(prefix));

  it("never lead a lookup into an error, nor to a pattern twice", () => {
    const segment = fc.constantFrom("a", "b", "%61", ":x", ":y", "");
    const pattern = fc
      .tuple(fc.array(segment, { minLength: 1, maxLength: 4 }), fc.boolean())
      .map(([segments, isPrefix]) => `/${[...segments, ...(isPrefix ? ["*"] : [])].join("/")}`);
    const path = fc
      .array(fc.constantFrom("a", "b", "%61", "%zz", "", "c"), { maxLength: 5 })
      .map((s) => `/${s.join("/")}`);
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 10 }), path, (patterns, at) => {
        const leaves = found(patterns, collapseSlashes(at)).map((match) => (match as string[])[0]);
        expect(new Set(leaves).size).toBe(leaves.length);
      }),
    );
  });
});
