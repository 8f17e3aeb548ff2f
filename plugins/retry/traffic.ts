/**
 * What a route's retry stages have under way, and the budget that follows from it: retries are a share of the
 * requests that are there anyway, so that they cannot multiply the load of an upstream that fails.
 */
import type { Host } from "../../core/plugin.ts";

/** Why a retry that was wanted is not made. */
export type Denial = "budget" | "body" | "method" | "retry-after" | "deadline";

/** How many retries may be under way. */
export interface Budget {
  /** Share of the requests under way. */
  readonly share: number;
  /** Always allowed, however few requests there are. */
  readonly floor: number;
}

/** A route's counts. Kept across generations. */
export class Traffic {
  /** Requests in the stages that wait for a reply's head, those between two attempts included. */
  active = 0;
  /** Of these, the ones that are at their second attempt or a later one, or wait for it. */
  retries = 0;
  succeeded = 0;
  exhausted = 0;
  readonly #made = new Map<string, number>();
  readonly #denied = new Map<Denial, number>();

  /** Most retries that may be under way now. */
  limit({ share, floor }: Budget): number {
    return Math.max(floor, Math.floor(share * this.active + 1e-9)); // 0.29 * 100 is not quite 29
  }

  /** Takes a retry from the budget if there is one left; {@link endRetry} gives it back. */
  beginRetry(budget: Budget): boolean {
    if (this.retries >= this.limit(budget)) return false;
    this.retries++;
    return true;
  }

  endRetry(): void {
    this.retries--;
  }

  countMade(reason: string): void {
    this.#made.set(reason, (this.#made.get(reason) ?? 0) + 1);
  }

  countDenied(reason: Denial): void {
    this.#denied.set(reason, (this.#denied.get(reason) ?? 0) + 1);
  }

  /** Shows the counts as metrics while the generation lives. */
  collect({ metrics, route, stage }: Host, budget: Budget): void {
    metrics.collect("sluice_retries_total", "Retries made, by reason.", "counter", () =>
      [...this.#made].map(([reason, count]) => [{ route, reason }, count] as const),
    );
    metrics.collect(
      "sluice_retries_denied_total",
      "Retries that were wanted and not made, by reason.",
      "counter",
      () => [...this.#denied].map(([reason, count]) => [{ route, reason }, count] as const),
    );
    metrics.collect(
      "sluice_retries_succeeded_total",
      "Requests that a retry gave a good reply to.",
      "counter",
      () => [[{ route }, this.succeeded]],
    );
    metrics.collect(
      "sluice_retries_exhausted_total",
      "Requests that failed at their last attempt too.",
      "counter",
      () => [[{ route }, this.exhausted]],
    );
    metrics.collect("sluice_retries_in_flight", "Retries under way.", "gauge", () => [
      [{ route }, this.retries],
    ]);
    metrics.collect(
      "sluice_retry_budget_used",
      "Retries under way as a share of those that are allowed now.",
      "gauge",
      () => [[{ route, stage }, this.retries === 0 ? 0 : this.retries / this.limit(budget)]],
      "max",
    );
  }
}
