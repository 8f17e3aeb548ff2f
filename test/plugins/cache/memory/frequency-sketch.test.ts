import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../../bench/support/cache-traces.ts";
import { FrequencySketch } from "../../../../plugins/cache/memory/frequency-sketch.ts";

describe("the sketch of how often hashes came", () => {
  it("never says too little, up to 15, also while it grows", () => {
    const hashes = fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 400 });
    fc.assert(
      fc.property(hashes, fc.integer({ min: 1, max: 3000 }), (came, room) => {
        const sketch = new FrequencySketch();
        const counts = new Map<number, number>();
        for (const [i, hash] of came.entries()) {
          if (i === came.length >> 1) sketch.grow(room);
          sketch.add(hash);
          counts.set(hash, (counts.get(hash) ?? 0) + 1);
        }
        for (const [hash, count] of counts)
          expect(sketch.estimate(hash)).toBeGreaterThanOrEqual(Math.min(count, 15));
      }),
      { numRuns: 50 },
    );
  });

  it("says hardly ever that something came which did not", () => {
    const random = seededRandom(1);
    const hash = (): number => (random() * 2 ** 32) | 0;
    const sketch = new FrequencySketch();
    sketch.grow(4096);
    for (let i = 0; i < 4096; i++) sketch.add(hash());
    let wrong = 0;
    for (let i = 0; i < 10_000; i++) if (sketch.estimate(hash()) > 0) wrong++;
    expect(wrong).toBeLessThan(400);
  });

  it("forgets half once ten times as many came as there is room for", () => {
    const sketch = new FrequencySketch();
    for (let i = 0; i < 12; i++) sketch.add(7);
    for (let i = 0; i < 2548; i++) sketch.add(1e6 + i);
    expect(sketch.estimate(7)).toBeLessThanOrEqual(12 / 2 + 3);
    expect(sketch.estimate(7)).toBeGreaterThanOrEqual(6);
    for (let i = 0; i < 2548; i++) expect(sketch.estimate(1e6 + i)).toBeLessThan(8);
  });
});
