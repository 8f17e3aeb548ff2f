/** A memory level with a clock and purges of its own. */
import { seededRandom } from "../../bench/support/cache-traces.ts";
import { createMemoryLevel, type MemoryLevelOptions } from "../../plugins/cache/memory/memory-level.ts";
import type { FieldOf } from "../../plugins/cache/level.ts";
import { PurgeTable } from "../../plugins/cache/purges.ts";
import { ABSENT } from "../../plugins/cache/vary.ts";
import { FakeClock } from "./harness.ts";

/** A request without any fields. */
export const noFields: FieldOf = () => ABSENT;

export function memoryLevel(rest: Partial<MemoryLevelOptions> = {}) {
  const purges = new PurgeTable();
  const clock = new FakeClock();
  const options = { maxBytes: 1_000_000, evict: "lru", variants: 5, purges, clock } as const;
  const level = createMemoryLevel({ ...options, random: seededRandom(1), ...rest });
  return { level, purges, clock };
}
