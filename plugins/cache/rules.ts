/** The options of a cache, compiled: what the request path goes by. */
import type { Predicate } from "../../core/match.ts";
import type { FreshnessRules } from "./freshness.ts";
import type { Keys } from "./key.ts";

export interface CacheRules {
  readonly keys: Keys;
  readonly freshness: FreshnessRules;
  /** POST is cached, by its body. */
  readonly cachesPost: boolean;
  readonly maxBodyBytes: number;
  /** How early entries are refreshed (XFetch's beta); 0 for never. */
  readonly earliness: number;
  readonly bypass: Predicate | undefined;
}
