/** Opens what coalesces requests without keeping their replies. */
import { type Host, sharedStore, type Stage, StoreHealth } from "../../../core/plugin.ts";
import type { Patience } from "../flights.ts";
import type { Keys } from "../key.ts";
import { scopeOf } from "../store/store-keys.ts";
import { Coalescing } from "./coalescing.ts";
import { GatewayCounts, Gateways } from "./gateways.ts";
import { KeptCoalescing } from "./kept.ts";

export interface CoalescingOptions {
  readonly keys: Keys;
  readonly patience: Patience;
  /** Larger bodies are not given to other threads and gateways. */
  readonly maxBytes: number;
  /** Name of the store that other gateways have, too. */
  readonly store: string | undefined;
}

const WORDS = {
  away: "requests are coalesced on this gateway alone until their store answers again",
  back: "requests are coalesced over gateways again",
};

export function openCoalescing({ keys, patience, maxBytes, store }: CoalescingOptions, host: Host): Stage {
  const { route, stage, metrics, clock, shared } = host;
  const topic = `coalesce ${route} ${stage}`;
  const kept = host.keep(topic, () => new KeptCoalescing(topic, patience, clock, shared));
  kept.flights.patience = patience;
  const gateways = store === undefined ? undefined : openGateways(store, host);
  metrics.collect(
    "sluice_coalesce_requests_total",
    "Requests that might have got the reply to another, by what became of them.",
    "counter",
    () => Object.entries(kept.requests).map(([result, count]) => [{ route, stage, result }, count]),
  );
  return (next) => {
    const coalescing = new Coalescing(next, keys, kept, gateways, maxBytes, clock);
    return (x) => coalescing.handle(x);
  };
}

function openGateways(name: string, host: Host): Gateways {
  const { route, stage, clock, log, metrics } = host;
  const store = sharedStore(name, host);
  const health = host.keep(`coalesce health ${name}`, () => new StoreHealth(name, WORDS));
  const counts = host.keep(`coalesce store ${route} ${stage}`, () => new GatewayCounts());
  const scope = scopeOf(route, stage, "coalesce");
  const gateways = new Gateways({ scope, store, health, counts, clock, log });
  host.onClose(() => gateways.close());
  const by = (values: Readonly<Record<string, number>>) => () =>
    Object.entries(values).map(([result, count]) => [{ route, stage, result }, count] as const);
  metrics.collect(
    "sluice_coalesce_store_claims_total",
    "Requests that were to be sent, by what the store said.",
    "counter",
    by(counts.claims),
  );
  metrics.collect(
    "sluice_coalesce_store_replies_total",
    "Replies that other gateways waited for.",
    "counter",
    by(counts.handOvers),
  );
  metrics.collect(
    "sluice_coalesce_store_waits_total",
    "Requests that waited for what another gateway sent.",
    "counter",
    () => [[{ route, stage }, counts.waits]],
  );
  return gateways;
}
