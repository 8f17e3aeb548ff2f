import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeySketch, mergeTopKeys, type TopKeysReading } from "../../core/top-keys.ts";

type Visit = readonly [key: string, weight: number, refused: boolean];

const CAPACITY = 8;

/** Few keys that come often among many that come rarely. */
const visit: fc.Arbitrary<Visit> = fc.tuple(
  fc.oneof(
    fc.integer({ min: 0, max: 3 }).map((n) => `hot-${n}`),
    fc.integer({ min: 0, max: 60 }).map((n) => `cold-${n}`),
  ),
  fc.integer({ min: 1, max: 5 }),
  fc.boolean(),
);
const visits = fc.array(visit, { maxLength: 300 });

function sketch(of: readonly Visit[]): TopKeysReading {
  const made = new KeySketch(CAPACITY);
  for (const [key, weight, refused] of of) made.add(key, weight, refused ? weight : 0);
  return made.read();
}

/** What really came. */
function countExactly(of: readonly Visit[]): Map<string, { count: number; refused: number }> {
  const exact = new Map<string, { count: number; refused: number }>();
  for (const [key, weight, refused] of of) {
    const known = exact.get(key) ?? { count: 0, refused: 0 };
    exact.set(key, { count: known.count + weight, refused: known.refused + (refused ? weight : 0) });
  }
  return exact;
}

/** The promises of Space-Saving, for one sketch or several that were merged. */
function expectBounds({ keys, least }: TopKeysReading, of: readonly Visit[]): void {
  const exact = countExactly(of);
  const total = of.reduce((sum, [, weight]) => sum + weight, 0);
  expect(least).toBeLessThanOrEqual(total / CAPACITY);
  expect(keys.length).toBeLessThanOrEqual(CAPACITY);
  for (const { key, count, error, refused } of keys) {
    const real = exact.get(key)!;
    expect(real.count).toBeLessThanOrEqual(count);
    expect(real.count).toBeGreaterThanOrEqual(count - error);
    expect(error).toBeLessThanOrEqual(total / CAPACITY);
    expect(refused).toBeLessThanOrEqual(real.refused);
  }
  const known = new Set(keys.map(({ key }) => key));
  for (const [key, { count }] of exact) if (count > least) expect(known).toContain(key);
}

describe("a sketch of keys", () => {
  it("never counts too little, too much only by its error, and misses nobody above the least", () => {
    fc.assert(fc.property(visits, (of) => expectBounds(sketch(of), of)));
  });

  it("keeps these promises when it is merged with others", () => {
    fc.assert(
      fc.property(visits, visits, visits, (a, b, c) => {
        const ab = mergeTopKeys(sketch(a), sketch(b), CAPACITY);
        const all = [...a, ...b, ...c];
        const exact = countExactly(all);
        const { keys, least } = mergeTopKeys(ab, sketch(c), CAPACITY);
        for (const { key, count, error } of keys) {
          const real = exact.get(key)!.count;
          expect(real).toBeLessThanOrEqual(count);
          expect(real).toBeGreaterThanOrEqual(count - error);
        }
        const known = new Set(keys.map(({ key }) => key));
        for (const [key, { count }] of exact) if (count > least) expect(known).toContain(key);
      }),
    );
  });

  it("is exact while there is room for all", () => {
    const { keys, least } = sketch([
      ["a", 2, false],
      ["b", 5, true],
      ["a", 1, true],
    ]);
    expect(least).toBe(0);
    expect(keys).toEqual([
      { key: "b", count: 5, error: 0, refused: 5 },
      { key: "a", count: 3, error: 0, refused: 1 },
    ]);
  });
});
