import { describe, expect, it } from "vitest";
import { bestHitRatio, hitRatio, TRACES } from "../../../../bench/support/cache-traces.ts";
import type { EvictionName } from "../../../../plugins/cache/memory/create-eviction.ts";
import { memoryLevel } from "../../../support/cache-memory.ts";

const PAGES = 10_000;
const maxBytes = 4_400_000;

function ratioOf(name: keyof typeof TRACES, evict: EvictionName): number {
  const { level } = memoryLevel({ maxBytes, evict });
  const ratio = hitRatio(level, TRACES[name](100_000, PAGES));
  level.close();
  return ratio;
}

describe("hit ratios", () => {
  it("of lfu are near the best there is when pages are popular for long, and far above lru", () => {
    const lfu = ratioOf("zipf", "lfu");
    expect(lfu).toBeGreaterThan(0.84 * bestHitRatio(PAGES, maxBytes));
    expect(lfu).toBeGreaterThan(ratioOf("zipf", "lru") + 0.08);
  });

  it("of lfu stay so while a crawler asks for pages that nobody else asks for", () => {
    const lfu = ratioOf("scanned", "lfu");
    expect(lfu).toBeGreaterThan(0.78 * (bestHitRatio(PAGES, maxBytes) / 2));
    expect(lfu).toBeGreaterThan(1.35 * ratioOf("scanned", "lru"));
  });

  it("of lfu follow when other pages become popular", () => {
    expect(ratioOf("shifting", "lfu")).toBeGreaterThan(ratioOf("shifting", "lru"));
  });

  it("of lfu do not fall far below lru where only what is new is asked for", () => {
    // With a window that stays small it is a quarter, with the one that follows from 0.67 to 0.74, by how keys are hashed.
    expect(ratioOf("news", "lfu")).toBeGreaterThan(0.5 * ratioOf("news", "lru"));
  });
});
