/** What became of requests, for metrics. */
import type { Host } from "../../core/plugin.ts";

/**
 * `hit` was answered from what is stored and fresh, `stale` from what is not any more, `revalidated` after the upstream
 * said that it still is; `miss` by the upstream, `collapsed` with the reply to another request, `bypass` had nothing to
 * do with the cache.
 */
export type CacheResult = "hit" | "stale" | "revalidated" | "miss" | "collapsed" | "bypass";

/** Shared by generations. */
export class CacheCounts {
  readonly requests: Record<CacheResult, number> = {
    hit: 0,
    stale: 0,
    revalidated: 0,
    miss: 0,
    collapsed: 0,
    bypass: 0,
  };
  /** Refreshes behind replies, by how they ended. */
  readonly refreshes = { ok: 0, failed: 0 };

  collect({ metrics, route, stage }: Host): void {
    metrics.collect(
      "sluice_cache_requests_total",
      "Requests to caches, by what became of them.",
      "counter",
      () => Object.entries(this.requests).map(([result, count]) => [{ route, stage, result }, count]),
    );
    metrics.collect(
      "sluice_cache_refreshes_total",
      "Refreshes of what is stored, made behind replies.",
      "counter",
      () => Object.entries(this.refreshes).map(([result, count]) => [{ route, stage, result }, count]),
    );
  }
}
