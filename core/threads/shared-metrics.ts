/** How full the tables of shared cells are, for metrics. */
import type { Clock, Metrics } from "../plugin.ts";
import type { SharedMemory } from "./shared-memory.ts";

/** Registers the metrics of all tables. Once a gateway: every thread sees the same. */
export function collectSharedCells(
  { tables }: Pick<SharedMemory, "tables">,
  metrics: Pick<Metrics, "collect">,
  clock: Clock,
): void {
  const each = Object.entries(tables).map(([table, cells]) => [{ table }, cells] as const);
  metrics.collect("sluice_shared_cells", "Cells in use of a table that threads share.", "gauge", () => {
    const now = clock.monotonic();
    return each.map(([labels, cells]) => [labels, cells.countLive(now)]);
  });
  const help = "Times that a table which threads share had no room for a cell.";
  metrics.collect("sluice_shared_cells_full_total", help, "counter", () =>
    each.map(([labels, cells]) => [labels, cells.full]),
  );
}
