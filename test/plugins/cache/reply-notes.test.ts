import { describe, expect, it } from "vitest";
import { readPurges } from "../../../plugins/cache/reply-notes.ts";

describe("the purges that a reply asks for", () => {
  it.each([
    ['tag="a"', [["tag", "a", false]]],
    [
      'tag=("a" "b,c");soft, url="/d?e=f"',
      [
        ["tag", "a", true],
        ["tag", "b,c", true],
        ["url", "/d?e=f", false],
      ],
    ],
    ['prefix="/a/";soft', [["prefix", "/a/", true]]],
    ["all", [["all", "", false]]],
    ["all;soft", [["all", "", true]]],
  ] as const)("are read from %s", (field, expected) => {
    expect(readPurges(field)?.map(({ kind, value, soft }) => [kind, value, soft])).toEqual(expected);
  });

  it.each(["tag=a", 'tag="a', "all=?0", 'key="a"', "tag=1", "/a"])("are refused as a whole: %s", (field) => {
    expect(readPurges(field)).toBeUndefined();
  });
});
