/** Opens what coalesces requests without keeping their replies. */
import type { Host, Stage } from "../../../core/plugin.ts";
import type { Patience } from "../flights.ts";
import type { Keys } from "../key.ts";
import { Coalescing } from "./coalescing.ts";
import { KeptCoalescing } from "./kept.ts";

export interface CoalescingOptions {
  readonly keys: Keys;
  readonly patience: Patience;
  /** Larger bodies are not given to other threads. */
  readonly maxBytes: number;
}

export function openCoalescing({ keys, patience, maxBytes }: CoalescingOptions, host: Host): Stage {
  const { route, stage, metrics, clock, shared } = host;
  const topic = `coalesce ${route} ${stage}`;
  const kept = host.keep(topic, () => new KeptCoalescing(topic, patience, clock, shared));
  kept.flights.patience = patience;
  metrics.collect(
    "sluice_coalesce_requests_total",
    "Requests that might have got the reply to another, by what became of them.",
    "counter",
    () => Object.entries(kept.requests).map(([result, count]) => [{ route, stage, result }, count]),
  );
  return (next) => {
    const coalescing = new Coalescing(next, keys, kept, maxBytes, clock);
    return (x) => coalescing.handle(x);
  };
}
