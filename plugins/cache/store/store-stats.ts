/** What is counted of a second level. */
import type { Host } from "../../../core/plugin.ts";

export class StoreStats {
  /**
   * Lookups by how they ended. `skipped`: the store was not asked, because it is away, or because purges may be unknown.
   * `unusable`: purged, or for another request. `corrupt`: not whole, or of another format.
   */
  readonly lookups = { hit: 0, miss: 0, unusable: 0, corrupt: 0, error: 0, skipped: 0 };
  /** Entries by what became of them. `dropped`: too many waited. */
  readonly writes = { stored: 0, failed: 0, dropped: 0 };
  readonly bytes = { read: 0, written: 0 };
  /** Claims that waited for another gateway. */
  waits = 0;
}

/** Has them read, by route and stage. */
export function exposeStoreStats(stats: StoreStats, waiting: () => number, host: Host): void {
  const { route, stage, metrics } = host;
  const by = (label: string, counts: Readonly<Record<string, number>>) => () =>
    Object.entries(counts).map(([value, count]) => [{ route, stage, [label]: value }, count] as const);
  metrics.collect(
    "sluice_cache_store_lookups_total",
    "Lookups in the store of a cache.",
    "counter",
    by("result", stats.lookups),
  );
  metrics.collect(
    "sluice_cache_store_writes_total",
    "Entries that were to be written to the store of a cache.",
    "counter",
    by("result", stats.writes),
  );
  metrics.collect(
    "sluice_cache_store_bytes_total",
    "Bytes of entries that were exchanged with the store of a cache.",
    "counter",
    by("direction", stats.bytes),
  );
  metrics.collect(
    "sluice_cache_store_waits_total",
    "Requests that waited for what another gateway fetches.",
    "counter",
    () => [[{ route, stage }, stats.waits]],
  );
  metrics.collect(
    "sluice_cache_store_waiting",
    "Entries that wait to be written to the store of a cache.",
    "gauge",
    () => [[{ route, stage }, waiting()]],
  );
}
