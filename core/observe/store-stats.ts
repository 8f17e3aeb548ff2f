/** What is counted of calls to a store. */
import { DurationStats } from "./request-stats.ts";

/** How a call ended: `invalid` for one that asked for what no store can do. */
export type StoreResult = "ok" | "unavailable" | "invalid";

export class StoreStats {
  readonly durations = new DurationStats();
  readonly results: Record<StoreResult, number> = { ok: 0, unavailable: 0, invalid: 0 };

  record(result: StoreResult, ms: number): void {
    this.results[result]++;
    this.durations.observe(ms);
  }
}
