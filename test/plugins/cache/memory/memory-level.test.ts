import * as fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { bytesOf, type Entry } from "../../../../plugins/cache/entry.ts";
import type { FieldOf } from "../../../../plugins/cache/level.ts";
import { ABSENT } from "../../../../plugins/cache/vary.ts";
import { entryOf } from "../../../support/cache-entries.ts";
import { memoryLevel, noFields } from "../../../support/cache-memory.ts";

const named = (key: string, rest: Partial<Entry> = {}): Entry => entryOf({ key, url: key, ...rest });
const inLanguage = (language: string): Entry => named("a", { vary: ["accept-language", language] });
const asking =
  (language: string): FieldOf =>
  (name) =>
    name === "accept-language" ? language : ABSENT;
const keysOf = (level: { peek(key: string): readonly Entry[] }, keys: string): string =>
  [...keys].filter((key) => level.peek(key).length > 0).join("");
/** Room for so many entries that `named` makes of keys of one letter. */
const roomFor = (count: number): { maxBytes: number } => ({ maxBytes: count * bytesOf(named("a")) });

describe("the memory level", () => {
  it("finds what was put, and counts it with all that it takes", () => {
    const { level } = memoryLevel();
    const entry = named("a");
    expect(level.find("a", noFields)).toBeUndefined();
    level.put(entry);
    expect(level.find("a", noFields)).toBe(entry);
    expect(level).toMatchObject({ entries: 1, bytes: bytesOf(entry) });
    level.put(named("a", { body: Buffer.alloc(1000) }));
    expect(level).toMatchObject({ entries: 1, bytes: bytesOf(entry) - entry.body.length + 1000 });
    level.delete("a");
    expect(level.find("a", noFields)).toBeUndefined();
    expect(level).toMatchObject({ entries: 0, bytes: 0 });
  });

  it("keeps no entry that takes more than half of the room, nor what was there in its place", () => {
    const { level } = memoryLevel(roomFor(4));
    level.put(named("a"));
    level.put(named("a", { body: Buffer.alloc(2 * bytesOf(named("a"))) }));
    expect(level.peek("a")).toEqual([]);
    expect(level.evicted).toMatchObject({ large: 1, size: 0 });
  });

  describe("of variants", () => {
    it("finds the newest one that fits the request", () => {
      const { level } = memoryLevel();
      const [de, fr] = [inLanguage("de"), inLanguage("fr")];
      level.put(de);
      level.put(fr);
      expect(level.find("a", asking("de"))).toBe(de);
      expect(level.find("a", asking("fr"))).toBe(fr);
      expect(level.find("a", asking("en"))).toBeUndefined();
      expect(level.find("a", noFields)).toBeUndefined();
      const any = named("a");
      level.put(any);
      expect(level.find("a", asking("de"))).toBe(any);
      expect(level.peek("a")).toEqual([any, fr, de]);
    });

    it("finds those for requests without a field, which is not the same as an empty one", () => {
      const { level } = memoryLevel();
      level.put(inLanguage(ABSENT));
      expect(level.find("a", noFields)).toBeDefined();
      expect(level.find("a", asking(ABSENT))).toBeDefined();
      expect(level.find("a", asking(""))).toBeUndefined();
    });

    it("keeps the newest ones of a key, as many as it may", () => {
      const { level } = memoryLevel({ variants: 2 });
      for (const each of ["de", "fr", "en"]) level.put(inLanguage(each));
      expect(level.peek("a").map(({ vary }) => vary[1])).toEqual(["en", "fr"]);
      level.put(inLanguage("fr"));
      expect(level.peek("a").map(({ vary }) => vary[1])).toEqual(["fr", "en"]);
      expect(level).toMatchObject({ entries: 2, evicted: { variants: 1 } });
    });
  });

  describe("with purges", () => {
    it("finds nothing that a hard one concerns, and all that was asked for since", () => {
      const { level, purges } = memoryLevel();
      level.put(named("a", { tags: ["t"] }));
      level.put(named("b"));
      purges.apply({ number: 1, kind: "tag", value: "t", soft: false });
      expect(level.find("a", noFields)).toBeUndefined();
      expect(level.find("b", noFields)).toBeDefined();
      level.put(named("a", { tags: ["t"] }));
      expect(level.peek("a")).toEqual([]);
      level.put(named("a", { tags: ["t"], version: purges.version }));
      expect(level.peek("a")).toHaveLength(1);
      expect(level).toMatchObject({ entries: 2, evicted: { purged: 2 } });
    });

    it("makes stale what a soft one concerns, from then on", () => {
      const { level, purges, clock } = memoryLevel();
      const respondedAtMs = clock.now();
      level.put(named("a", { respondedAtMs }));
      clock.advance(1000);
      purges.apply({ number: 1, kind: "all", value: "", soft: true });
      expect(level.find("a", noFields)).toMatchObject({ freshMs: 1000 });
      clock.advance(1000);
      purges.apply({ number: 2, kind: "key", value: "b", soft: true });
      expect(level.find("a", noFields)).toMatchObject({ freshMs: 1000 });
      level.put(named("b", { respondedAtMs }));
      expect(level.find("b", noFields)).toMatchObject({ freshMs: 2000 });
    });

    it("goes on with an entry of somebody who knows newer ones", () => {
      const { level, purges } = memoryLevel();
      level.put(named("a", { version: 2 }));
      purges.apply({ number: 1, kind: "all", value: "", soft: false });
      expect(level.find("a", noFields)).toBeDefined();
      purges.apply({ number: 2, kind: "all", value: "", soft: false });
      expect(level.find("a", noFields)).toBeDefined();
    });
  });

  describe("that is swept", () => {
    it("loses what is over with all grace, and what was purged", () => {
      const { level, purges, clock } = memoryLevel();
      const respondedAtMs = clock.now();
      level.put(named("a", { respondedAtMs, freshMs: 0 }));
      level.put(named("b", { respondedAtMs, freshMs: 0, staleIfErrorMs: 1000 }));
      level.put(named("c", { respondedAtMs, freshMs: 0, headers: ["ETag", '"1"'] }));
      level.put(named("d", { respondedAtMs, freshMs: 0, headers: ["last-modified", "yesterday"] }));
      level.put(named("e", { respondedAtMs, freshMs: 1e9 }));
      purges.apply({ number: 1, kind: "key", value: "e", soft: false });
      clock.advance(60_000);
      expect(level.sweep(5)).toBe(true);
      expect(level.sweep(5)).toBe(false);
      expect(keysOf(level, "abcde")).toBe("bcd");
      clock.advance(1000);
      level.sweep(10);
      expect(keysOf(level, "abcde")).toBe("cd");
      clock.advance(3_600_000);
      level.sweep(10);
      expect(level).toMatchObject({ entries: 0, bytes: 0, evicted: { expired: 4, purged: 1 } });
    });

    it("loses it by itself, some keys a turn, until it is closed", async () => {
      vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
      const { level, clock } = memoryLevel({ maxBytes: 2_000_000 });
      const respondedAtMs = clock.now();
      for (let i = 0; i < 1000; i++) level.put(named(`${i}`, { respondedAtMs, freshMs: 0 }));
      clock.advance(60_000);
      vi.advanceTimersByTime(30_000);
      await new Promise(setImmediate);
      expect(level.entries).toBe(744);
      level.close();
      vi.useRealTimers();
      for (let i = 0; i < 5; i++) await new Promise(setImmediate);
      expect(level.entries).toBe(744);
    });
  });

  it("takes other bounds at once, and keeps what there is room for", () => {
    const { level } = memoryLevel({ ...roomFor(6), evict: "ttl", variants: 2 });
    for (const [i, key] of [..."abcdef"].entries()) level.put(named(key, { freshMs: (6 - i) * 1000 }));
    level.setBounds({ ...roomFor(4), evict: "ttl", variants: 2 });
    expect(keysOf(level, "abcdef")).toBe("abcd");
    level.find("a", noFields);
    level.setBounds({ ...roomFor(3), evict: "lru", variants: 2 });
    expect(level.entries).toBe(3);
    level.find("b", noFields);
    level.setBounds({ ...roomFor(1), evict: "lfu", variants: 1 });
    expect(level.entries).toBe(1);
  });
});

describe("what goes when there is no room", () => {
  it("is what was not used for longest, by lru", () => {
    const { level } = memoryLevel({ ...roomFor(3), evict: "lru" });
    for (const key of "abc") level.put(named(key));
    level.find("a", noFields);
    level.peek("b");
    level.put(named("d"));
    expect(keysOf(level, "abcd")).toBe("acd");
    expect(level.evicted.size).toBe(1);
  });

  it("is what expires first, by ttl", () => {
    const { level } = memoryLevel({ ...roomFor(3), evict: "ttl" });
    for (const [key, freshMs] of [
      ["a", 3000],
      ["b", 1000],
      ["c", 2000],
    ] as const)
      level.put(named(key, { freshMs }));
    level.find("b", noFields);
    level.put(named("d", { freshMs: 4000 }));
    level.put(named("e", { freshMs: 1500, initialAgeMs: 1000 }));
    expect(keysOf(level, "abcde")).toBe("acd");
  });

  it("is what comes once, by lfu, and not what comes often", () => {
    const { level } = memoryLevel({ ...roomFor(200), evict: "lfu" });
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 150; i++) {
        const key = `often ${i}`;
        if (level.find(key, noFields) === undefined) level.put(named(key));
      }
    }
    for (let i = 0; i < 5000; i++) level.put(named(`once ${i}`));
    const often = Array.from({ length: 150 }, (_, i) => level.peek(`often ${i}`).length);
    expect(often.filter((found) => found > 0).length).toBeGreaterThan(140);
  });

  it("is what is new, by lfu, unless it came more often than what would go for it", () => {
    const { level } = memoryLevel({ ...roomFor(100), evict: "lfu" });
    for (let i = 0; i < 100; i++) level.put(named(String.fromCharCode(1000 + i)));
    for (const [key, uses] of [
      ["a", 5],
      ["b", 0],
      ["c", 5],
      ["d", 0],
      ["e", 0],
    ] as const) {
      level.put(named(key));
      for (let i = 0; i < uses; i++) level.find(key, noFields);
    }
    expect(keysOf(level, "abcd")).toBe("ac");
  });

  const { maxBytes } = roomFor(6);
  const KEYS = [..."abcdefgh"];
  const step = fc.record({
    does: fc.constantFrom("find" as const, "put" as const, "put" as const, "delete" as const),
    key: fc.constantFrom(...KEYS),
    field: fc.constantFrom(undefined, "x", "y"),
    size: fc.constantFrom(0, 100, 700, 5000),
    freshMs: fc.integer({ min: 1, max: 1e9 }),
  });
  const variant = (field: string | undefined): Partial<Entry> =>
    field === undefined ? {} : { vary: ["accept-language", field] };

  it.each(["lru", "lfu", "ttl"] as const)(
    "leaves what the bounds allow, as a plain model says: %s",
    (evict) => {
      fc.assert(
        fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
          const { level } = memoryLevel({ maxBytes, evict, variants: 2 });
          /** Used last comes first. */
          let model: Entry[] = [];
          for (const [i, { does, key, field, size, freshMs }] of steps.entries()) {
            if (does === "delete") {
              level.delete(key);
              model = model.filter((each) => each.key !== key);
            } else if (does === "find") {
              const found = level.find(key, field === undefined ? noFields : asking(field));
              if (found !== undefined) {
                expect(model).toContain(found);
                expect(found.vary[1] ?? field).toBe(field);
                model = [found, ...model.filter((each) => each !== found)];
              }
            } else {
              const times = { freshMs: freshMs + i / 100, fillMs: i };
              const entry = named(key, { ...variant(field), ...times, body: Buffer.alloc(size) });
              level.put(entry);
              model = afterPut(model, entry);
              const bytes = (): number => model.reduce((sum, each) => sum + bytesOf(each), 0);
              while (evict !== "lfu" && bytes() > maxBytes) {
                const victim =
                  evict === "lru" ? model.at(-1) : model.toSorted((a, b) => a.freshMs - b.freshMs)[0];
                model = model.filter((each) => each !== victim);
              }
            }
            const kept = KEYS.flatMap((each) => level.peek(each));
            // What lfu chooses is measured by its hit ratios.
            if (evict === "lfu") model = model.filter((each) => kept.includes(each));
            expect(new Set(kept)).toEqual(new Set(model));
            expect(level.entries).toBe(kept.length);
            expect(level.bytes).toBe(kept.reduce((sum, each) => sum + bytesOf(each), 0));
            expect(level.bytes).toBeLessThanOrEqual(maxBytes);
          }
          level.close();
        }),
        { numRuns: 100 },
      );
    },
  );

  /** Before others go: at most two variants of a key, nothing too large. When each was put is in `fillMs`. */
  function afterPut(model: readonly Entry[], entry: Entry): Entry[] {
    const isSame = (each: Entry): boolean => each.key === entry.key && each.vary[1] === entry.vary[1];
    const others = model.filter((each) => !isSame(each));
    if (bytesOf(entry) > maxBytes / 2) return others;
    const [, ...older] = others
      .filter((each) => each.key === entry.key)
      .toSorted((a, b) => b.fillMs - a.fillMs);
    return [entry, ...others.filter((each) => !older.includes(each))];
  }
});
