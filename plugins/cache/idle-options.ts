/** Options of a cache that change nothing beside the others: whoever sets them means something else. */
import type { Problem } from "../../core/plugin.ts";
import { parseSize } from "../../core/units.ts";
import { hasNothing } from "../../core/warm-options.ts";
import { MOST_SHARE } from "./memory/memory-level.ts";
import { TAG_HEADERS } from "./reply-notes.ts";
import type { Options } from "./schema.ts";

/** With less, hardly anything could be kept. */
const LEAST_MEMORY = "1MB";

export function findIdle(options: Options): Problem[] {
  const { store, strategy, compressAbove, maxBody, memory, warm, methods, purgeHeader } = options;
  const problems: Problem[] = [];
  const refuse = (pointer: string, message: string): void => {
    problems.push({ code: "CONFIG_VALUE", message, pointer });
  };
  if (store === undefined) {
    if (strategy !== "cache-aside") {
      refuse("/strategy", "It says when the `store` gets what was fetched, and there is no `store`");
    }
    if (compressAbove !== undefined) {
      refuse("/compressAbove", "Bodies are compressed in a `store` only, and there is no `store`");
    }
    if (parseSize(memory.max) < parseSize(LEAST_MEMORY)) {
      refuse("/memory/max", `It must be ${LEAST_MEMORY} or more, where there is no \`store\``);
    }
  }
  // Threads are not asked for: what is accepted on one machine is accepted on all.
  const mostBytes = parseSize(memory.max) * (store === undefined ? MOST_SHARE : 1);
  if (maxBody !== undefined && parseSize(maxBody) > mostBytes) {
    const share = store === undefined ? "half of `memory.max`" : "`memory.max`";
    refuse("/maxBody", `It must be at most ${share}, ${memory.max}: nothing larger is ever kept`);
  }
  if (warm !== undefined && hasNothing(warm)) refuse("/warm", "It needs `urls` or `sitemaps`");
  if (warm !== undefined && !methods.includes("GET")) {
    refuse("/warm", "It asks by GET, and `methods` has no GET");
  }
  if (purgeHeader !== undefined && TAG_HEADERS.includes(purgeHeader.toLowerCase())) {
    refuse("/purgeHeader", "The tags of replies are in this header");
  }
  return problems;
}
