/** The options of a cache, compiled: what the request path goes by. */
import type { Condition } from "../../core/config/checked.ts";
import { compileCondition, type Predicate } from "../../core/match.ts";
import { OptionBounds } from "../../core/option-bounds.ts";
import { ConfigError, type Problem } from "../../core/plugin.ts";
import { compileHeaderName } from "../../core/option-text.ts";
import { childPointer } from "../../core/pointer.ts";
import { addStatuses, createStatusTable } from "../../core/statuses.ts";
import { parseDuration, parseSize } from "../../core/units.ts";
import type { Patience } from "./flights.ts";
import type { FreshnessRules } from "./freshness.ts";
import { findIdle } from "./idle-options.ts";
import { Keys } from "./key.ts";
import { MOST_SHARE, type MemoryBounds } from "./memory/memory-level.ts";
import { toAddress } from "./purger.ts";
import type { Options } from "./schema.ts";

/** Longest that something may be said to be fresh. */
const LONGEST = "3650d";
/** Largest body that is kept, where memory has room for it. */
const MAX_BODY = "8MB";

export interface CacheRules {
  readonly keys: Keys;
  readonly freshness: FreshnessRules;
  /** POST is cached, by its body. */
  readonly cachesPost: boolean;
  readonly ignoresRequests: boolean;
  readonly maxBodyBytes: number;
  /** Most that a reply may take, all overhead counted, so that it is kept somewhere. */
  readonly maxEntryBytes: number;
  /** How early entries are refreshed (XFetch's beta); 0 for never. */
  readonly earliness: number;
  readonly bypass: readonly Predicate[];
  readonly patience: Patience;
  readonly memory: MemoryBounds;
  readonly forwardsTags: boolean;
  /** Lower case. */
  readonly purgeHeader: string | undefined;
}

/**
 * @param threads that share the memory
 * @throws ConfigError with all that makes no sense
 */
export function compileRules(options: Options, threads: number): CacheRules {
  const problems: Problem[] = [];
  const bounds = new OptionBounds(options, "", problems);
  const { coalesce, memory, store } = options;
  const maxBytes = Math.floor(parseSize(memory.max) / threads);
  const rules: CacheRules = {
    keys: new Keys(options.key),
    freshness: {
      ttlMs: options.ttl === undefined ? undefined : bounds.duration("ttl", "0s", LONGEST),
      statusTtlMs: compileStatusTtls(options.statuses, problems),
      ignoreCacheControl: options.ignoreCacheControl,
      staleWhileRevalidateMs: bounds.duration("staleWhileRevalidate", "0s", LONGEST),
      staleIfErrorMs: bounds.duration("staleIfError", "0s", LONGEST),
    },
    cachesPost: options.methods.includes("POST"),
    ignoresRequests: options.requestDirectives === "ignore",
    maxBodyBytes: parseSize(options.maxBody ?? MAX_BODY),
    maxEntryBytes: store === undefined ? maxBytes * MOST_SHARE : Number.POSITIVE_INFINITY,
    earliness: options.earlyRefresh,
    bypass: options.bypass.map((condition, i) =>
      compileCondition(condition as Condition, childPointer("/bypass", i)),
    ),
    patience: {
      waitMs: new OptionBounds(coalesce, "/coalesce", problems).wait("wait"),
      waiting: coalesce.waiting,
    },
    memory: {
      maxBytes,
      evict: memory.evict,
      variants: options.variants,
    },
    forwardsTags: options.forwardTags,
    purgeHeader:
      options.purgeHeader === undefined ? undefined : compileHeaderName(options.purgeHeader, "/purgeHeader"),
  };
  problems.push(...findIdle(options));
  if (options.warm !== undefined) checkUrls(options.warm, rules.keys, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return rules;
}

function checkUrls(warm: NonNullable<Options["warm"]>, keys: Keys, problems: Problem[]): void {
  for (const list of ["urls", "sitemaps"] as const) {
    for (const [i, url] of warm[list].entries()) {
      try {
        toAddress(url, keys, undefined, `/warm/${list}/${i}`);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        problems.push(...error.problems);
      }
    }
  }
}

function compileStatusTtls(statuses: Options["statuses"], problems: Problem[]): Map<number, number> {
  const ttls = new Map<number, number>();
  for (const [range, ttl] of Object.entries(statuses)) {
    const table = createStatusTable();
    addStatuses(table, range, childPointer("/statuses", range), problems);
    for (let status = 200; status < 600; status++)
      if (table[status] === 1) ttls.set(status, parseDuration(ttl));
  }
  return ttls;
}
