import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Entry } from "../../../plugins/cache/entry.ts";
import type { Purge, PurgeRecord } from "../../../plugins/cache/level.ts";
import { makeStale, PurgeTable } from "../../../plugins/cache/purges.ts";
import { entryOf } from "../../support/cache-entries.ts";

const hard = (number: number, kind: Purge["kind"], value = ""): PurgeRecord => ({
  number,
  kind,
  value,
  soft: false,
});
const soft = (number: number, kind: Purge["kind"], value = ""): PurgeRecord => ({
  number,
  kind,
  value,
  soft: true,
});

const entry = entryOf({ key: "k", url: "example.com/shop/shoes?size=9", tags: ["shoes", "sale"] });

describe("the purges that are known", () => {
  it.each([
    ["key", "k", "other"],
    ["url", "example.com/shop/shoes?size=9", "example.com/shop/shoes"],
    ["prefix", "example.com/shop/", "example.com/shops"],
    ["prefix", "example.com/shop/shoes?size=9", "example.com/shop/shoes?size=99"],
    ["prefix", "", "x"],
    ["tag", "sale", "sal"],
  ] as const)("concern what has the %s %j, and not %j", (kind, value, other) => {
    const purges = new PurgeTable();
    purges.apply(hard(1, kind, other));
    expect(purges.stateOf(entry)).toBe("live");
    purges.apply(soft(2, kind, value));
    expect(purges.stateOf(entry)).toBe("stale");
    purges.apply(hard(3, kind, value));
    expect(purges.stateOf(entry)).toBe("gone");
  });

  it("concern what was asked for before them only", () => {
    const purges = new PurgeTable();
    purges.apply(hard(1, "tag", "sale"));
    expect(purges.version).toBe(1);
    expect(purges.stateOf({ ...entry, version: purges.version })).toBe("live");
    purges.apply(hard(2, "all"));
    expect(purges.stateOf({ ...entry, version: 1 })).toBe("gone");
    expect(purges.stateOf({ ...entry, version: 2 })).toBe("live");
  });

  it("concern what was asked for while an older one was still on its way", () => {
    const purges = new PurgeTable();
    purges.apply(hard(2, "tag", "other"));
    const asked = { ...entry, version: purges.version };
    expect(purges.version).toBe(0);
    purges.apply(hard(1, "tag", "sale"));
    expect(purges.version).toBe(2);
    expect(purges.stateOf(asked)).toBe("gone");
  });

  it("are looked at again only when there is a new one", () => {
    const purges = new PurgeTable();
    purges.apply(hard(1, "tag", "sale"));
    const { revision } = purges;
    purges.apply(hard(1, "tag", "sale"));
    purges.advance(5);
    expect(purges).toMatchObject({ revision, version: 5 });
    purges.apply(hard(6, "tag", "sale"));
    expect(purges.revision).not.toBe(revision);
  });

  it("are bounded in number: an older one concerns everything that was not looked at since", () => {
    const purges = new PurgeTable();
    purges.apply(soft(1, "tag", "none"));
    for (let i = 2; i <= 10_001; i++) purges.apply(soft(i, "prefix", `/${i}`));
    expect(purges.size).toBe(10_000);
    expect(purges.stateOf(entry)).toBe("stale");
    expect(purges.stateOf({ ...entry, version: 1 })).toBe("live");
    expect(purges.stateOf(entry, 1)).toBe("live");
    for (let i = 10_002; i <= 20_001; i++) purges.apply(hard(i, "url", `/${i}`));
    expect(purges.size).toBe(10_000);
    purges.apply(hard(20_002, "url", "/"));
    expect(purges.stateOf(entry, 10_001)).toBe("gone");
    expect(purges.stateOf(entry, 10_002)).toBe("live");
  });

  it("are bounded in characters", () => {
    const purges = new PurgeTable();
    for (let i = 1; i <= 100; i++) purges.apply(hard(i, "url", `${i}`.padStart(2 ** 17, "x")));
    expect(purges.size).toBe(32);
    expect(purges.stateOf(entry, 67)).toBe("gone");
    expect(purges.stateOf(entry, 68)).toBe("live");
  });

  it("take it that everything was purged when too many of them are missing", () => {
    const purges = new PurgeTable();
    for (let i = 2; i <= 1001; i++) purges.apply(hard(i, "tag", "none"));
    expect(purges.version).toBe(0);
    purges.apply(hard(1002, "tag", "none"));
    expect(purges.version).toBe(1002);
    expect(purges.stateOf({ ...entry, version: 1001 })).toBe("gone");
    expect(purges.stateOf({ ...entry, version: 1002 })).toBe("live");
  });

  it("say the same in whatever order they come, and however often", () => {
    const values = fc.constantFrom("", "a", "ab", "abc", "b", "t1", "t2");
    const record = fc.record({
      kind: fc.constantFrom(
        "all" as const,
        "key" as const,
        "url" as const,
        "prefix" as const,
        "tag" as const,
      ),
      value: values,
      soft: fc.boolean(),
    });
    const kept = fc.record({
      key: values,
      url: values,
      tags: fc.array(values, { maxLength: 3 }),
      version: fc.nat(20),
    });
    const traces = fc.array(record, { maxLength: 20 }).chain((list) => {
      const numbered = list.map((each, i) => ({ ...each, number: i + 1 }));
      const twice = [...numbered, ...numbered];
      return fc.tuple(
        fc.constant(numbered),
        fc.shuffledSubarray(twice, { minLength: twice.length }),
        fc.array(kept, { maxLength: 5 }),
      );
    });
    fc.assert(
      fc.property(traces, ([numbered, shuffled, entries]) => {
        const purges = new PurgeTable();
        for (const each of shuffled) purges.apply(each);
        expect(purges.version).toBe(numbered.length);
        for (const each of entries.map(entryOf)) expect(purges.stateOf(each)).toBe(literally(numbered, each));
      }),
      { numRuns: 200 },
    );
  });
});

/** As it is written: each purge, one after the other. */
function literally(records: readonly PurgeRecord[], { key, url, tags, version }: Entry): string {
  const concerning = records.filter(({ number, kind, value }) => {
    if (number <= version) return false;
    if (kind === "key") return key === value;
    if (kind === "url") return url === value;
    if (kind === "prefix") return url.startsWith(value);
    return kind === "all" || tags.includes(value);
  });
  if (concerning.length === 0) return "live";
  return concerning.every((each) => each.soft) ? "stale" : "gone";
}

describe("an entry that is made stale", () => {
  it("has no freshness left, and all of its grace", () => {
    const fresh = entryOf({
      initialAgeMs: 1000,
      respondedAtMs: 5000,
      freshMs: 10_000,
      staleIfErrorMs: 500,
    });
    expect(makeStale(fresh, 6000)).toEqual({ ...fresh, freshMs: 2000 });
    expect(makeStale(fresh, 14_000)).toBe(fresh);
  });
});
