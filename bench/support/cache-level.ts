/**
 * The cache's level in memory: what an entry weighs against what is counted for it, and what finding and storing one
 * costs when there are many, each way of eviction in a process of its own; and how many requests of some traces it
 * answers, against those that are answered when the best pages are kept for good. Figures are medians over rounds of
 * CPU time.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { systemClock } from "../../core/clock.ts";
import type { EvictionName } from "../../plugins/cache/memory/create-eviction.ts";
import { createMemoryLevel } from "../../plugins/cache/memory/memory-level.ts";
import { PurgeTable } from "../../plugins/cache/purges.ts";
import type { MemoryRun } from "./cache-memory-run.ts";
import { bestHitRatio, hitRatio, seededRandom, TRACES } from "./cache-traces.ts";
import { printTable, round, type Verdict } from "./report.ts";

const ROUNDS = 7;
const ENTRIES = 100_000;
const EVICTIONS: readonly EvictionName[] = ["lru", "lfu", "ttl"];
const BODY_BYTES = [200, 2000] as const;
const PAGES = 10_000;
const PAGES_BYTES = 4_400_000;

/** Measures, prints tables, and adds verdicts. */
export function measureLevel(verdicts: Verdict[]): object {
  const runs = EVICTIONS.flatMap((evict) =>
    BODY_BYTES.map((bodyBytes) => {
      const file = join(import.meta.dirname, "cache-memory-run.ts");
      const args = ["--expose-gc", file, evict, String(bodyBytes), String(ENTRIES), String(ROUNDS)];
      const { stdout } = spawnSync(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      return { name: `${evict}, bodies of ${bodyBytes}`, ...(JSON.parse(String(stdout)) as MemoryRun) };
    }),
  );
  console.log();
  printTable(
    [
      `${ENTRIES} entries`,
      "bytes counted",
      "real",
      "ns: hot",
      "popular",
      "(Map)",
      "any",
      "miss",
      "put for another",
    ],
    runs.map(({ name, counted, real, hot, hit, map, any, miss, put }) => [
      name,
      ...[counted, real, hot, hit, map, any, miss, put].map((figure) => figure.toFixed(0)),
    ]),
  );
  for (const { name, counted, real, hot } of runs) {
    const wrong = Math.abs(counted / real - 1) * 100;
    verdicts.push({ what: `${name}, bytes counted wrongly`, value: round(wrong, 1), limit: 12, unit: " %" });
    verdicts.push({ what: `${name}, a hit`, value: round(hot, 0), limit: 300, unit: " ns" });
  }

  const ratios = Object.entries(TRACES).map(([name, trace]) => {
    const [lru = 0, lfu = 0, ttl = 0] = EVICTIONS.map((evict) => {
      const purges = new PurgeTable();
      const bounds = { maxBytes: PAGES_BYTES, evict, variants: 1 };
      const level = createMemoryLevel({ ...bounds, purges, clock: systemClock, random: seededRandom(1) });
      const ratio = hitRatio(level, trace(500_000, PAGES));
      level.close();
      return ratio;
    });
    return { name, lru, lfu, ttl };
  });
  const best = bestHitRatio(PAGES, PAGES_BYTES);
  console.log();
  printTable(
    ["hit ratio", "lru", "lfu", "ttl"],
    ratios.map(({ name, lru, lfu, ttl }) => [name, ...[lru, lfu, ttl].map((ratio) => ratio.toFixed(3))]),
  );
  console.log(`the best for zipf: ${best.toFixed(3)}`);
  for (const { name, lru, lfu } of ratios) {
    const value = round(lfu / lru, 2);
    if (name === "zipf") {
      verdicts.push({
        what: "lfu on zipf, of the best there is",
        value: round(lfu / best, 2),
        limit: 0.8,
        atLeast: true,
      });
    }
    const limit = name === "scanned" ? 1.35 : name === "zipf" ? 1.15 : name === "shifting" ? 1 : 0.65;
    verdicts.push({ what: `lfu on ${name}, of lru`, value, limit, atLeast: true });
  }
  return { runs, ratios, best };
}
