import { describe, expect, it } from "vitest";
import {
  type CacheReading,
  type EntryReading,
  type LookupReading,
  mergeCaches,
  showCache,
  showLookup,
} from "../../core/cache-view.ts";

const READING: CacheReading = {
  route: "users",
  stage: "cache",
  memory: { entries: 2, bytes: 100, maxBytes: 1000, evict: "lru", evicted: { size: 1 } },
  requests: { hit: 6, miss: 2, bypass: 5 },
  refreshes: { ok: 1 },
  stored: 2,
  notStored: { private: 1 },
  purges: { tag: 1 },
  store: null,
  warm: null,
};

describe("what threads tell of a cache", () => {
  it("is added up", () => {
    const warm = { state: "done", stored: 1, failed: 0, remaining: 0, lastErrors: [] } as const;
    const other = { ...READING, warm, notStored: { private: 2, vary: 1 }, requests: { stale: 1 } };
    expect(mergeCaches(READING, other)).toEqual({
      ...READING,
      memory: { entries: 4, bytes: 200, maxBytes: 2000, evict: "lru", evicted: { size: 2 } },
      requests: { hit: 6, miss: 2, bypass: 5, stale: 1 },
      refreshes: { ok: 2 },
      stored: 4,
      notStored: { private: 3, vary: 1 },
      purges: { tag: 2 },
      warm,
    });
  });

  it("is added up of what they asked of the store", () => {
    const store = { name: "main", lookups: { hit: 1 }, writes: { stored: 2 }, bytes: { read: 3 } };
    const all = { name: "main", lookups: { hit: 2 }, writes: { stored: 4 }, bytes: { read: 6 } };
    expect(mergeCaches({ ...READING, store }, { ...READING, store }).store).toEqual(all);
  });

  it("is shown with how many requests were answered, of those that it could have answered", () => {
    expect(showCache("users:cache", READING)).toMatchObject({ id: "users:cache", stored: 2, hitRatio: 0.75 });
    expect(showCache("users:cache", { ...READING, requests: {} })).toMatchObject({ hitRatio: null });
  });

  it("about a URL is shown once for what several have, with the newest of it", () => {
    const entry = (ageSeconds: number, vary: EntryReading["vary"] = {}): EntryReading => {
      const rest = { status: 200, bytes: 1, ttlSeconds: 9, isFresh: true, tags: [] };
      return { key: "k", ageSeconds, vary, ...rest };
    };
    const of = (thread: number, entries: EntryReading[], at = 0): LookupReading => {
      return { thread, entries, refusal: at === 0 ? null : { reason: `at ${at}`, at }, store: null };
    };
    const one = of(0, [entry(5), entry(1, { accept: "a" })], 1000);
    expect(showLookup([one, of(1, [entry(3)], 2000), of(2, [])])).toEqual({
      stored: true,
      entries: [
        { ...entry(3), threads: [0, 1] },
        { ...entry(1, { accept: "a" }), threads: [0] },
      ],
      store: null,
      lastRefusal: { reason: "at 2000", at: "1970-01-01T00:00:02.000Z" },
    });
    expect(showLookup([of(0, [])])).toEqual({
      stored: false,
      entries: [],
      store: null,
      lastRefusal: null,
    });
    const stored = { ...entry(7), version: 3 };
    const having = { ...one, store: { name: "main", isThere: true, entries: [stored] } };
    expect(showLookup([having, having])).toMatchObject({
      store: { name: "main", available: true, entries: [stored] },
    });
    const away = { ...one, store: { name: "main", isThere: false, entries: [] } };
    expect(showLookup([having, away])).toMatchObject({ store: { available: false, entries: [] } });
  });
});
