/**
 * Keeps replies and answers with them (RFC 9111, 5861, 9213).
 *
 * Stands below what decides who may pass (`auth`, `authorize`, `limit`) and what makes replies for one client only
 * (`cors`), and above `retry`, `breaker` and what sends. It calls next for what it cannot answer, on an exchange of its
 * own: once for any number of requests with the same key that come meanwhile, on whichever thread, and with `store` at
 * whichever gateway. Every reply says in Cache-Status (RFC 9211) what the cache did. Without options it does what the
 * RFCs say and keeps 64 MB in memory; `ttl`, `statuses` and `ignoreCacheControl` say more than upstreams do. A client
 * that goes away does not stop what is being stored. When the upstream fails, what is stale is used where the reply or
 * `staleIfError` allows it; else the failure goes to all who wait, and is not stored. Without its store it does what it
 * can in memory.
 */
import type { Handler, Host, Plugin } from "../core/plugin.ts";
import { parseSize } from "../core/units.ts";
import { ExposedCache } from "./cache/exposure.ts";
import type { Keys } from "./cache/key.ts";
import { KeptCache } from "./cache/kept.ts";
import { Levels } from "./cache/levels.ts";
import { Purger } from "./cache/purger.ts";
import { ReplyNotes } from "./cache/reply-notes.ts";
import type { PurgeTable } from "./cache/purges.ts";
import { compileRules } from "./cache/rules.ts";
import { type Options, schema } from "./cache/schema.ts";
import { CacheStage } from "./cache/stage.ts";
import { type OpenedStoreLevel, openStoreLevel } from "./cache/store/open-store-level.ts";
import { OwnRequests } from "./cache/warm/own-requests.ts";

/** Larger bodies are compressed in the store. */
const COMPRESS_ABOVE = "1KB";

export const cache: Plugin<Options> = {
  name: "cache",
  schema,
  harmAboveAuth: () => "would give what is stored to those who may not have it",
  build(options, host) {
    const { route, stage, clock, log, shared } = host;
    const { threads } = shared;
    const rules = compileRules(options, threads);
    const { memory: bounds, patience } = rules;
    // What is stored outlives reloads: it belongs to the route and the stage, not to the options.
    const topic = `cache ${route} ${stage}`;
    const random = (): number => host.random();
    const kept = host.keep(topic, () => new KeptCache(topic, bounds, patience, { clock, shared, random }));
    const { memory, purges, neighbours, flights, counts } = kept;
    memory.setBounds(bounds);
    flights.patience = patience;
    counts.collect(host);
    const store = options.store === undefined ? undefined : openStore(options, options.store, purges, host);
    const { waitMs } = patience;
    const purger = new Purger({ kept, keys: rules.keys, log: store?.purgeLog, host });
    const around = { memory, purges, neighbours, purger, threads, waitMs, clock };
    const levels = new Levels({ ...around, store: store?.level });
    const notes = new ReplyNotes(rules, purger, counts);
    host.expose("caches", `${route}:${stage}`, new ExposedCache({ kept, host, rules, purger, store }));
    return (next) => {
      const { passing } = memory;
      const served = new CacheStage(
        { next, rules, levels, flights, counts, clock, log, passing, notes },
        random,
      );
      warmBy((x) => served.handle(x), options.warm, kept, rules.keys, host);
      return (x) => served.handle(x);
    };
  },
};

/** One thread warms the cache; the others get from it what it has. */
function warmBy(
  handler: Handler,
  configured: Options["warm"],
  { warmer }: KeptCache,
  keys: Keys,
  host: Host,
): void {
  if (host.shared.thread !== 0) return;
  const requests = new OwnRequests(handler, keys, host);
  host.onActivate(() => warmer.attach(requests, configured));
  host.onClose(() => warmer.detach(requests));
}

function openStore(options: Options, store: string, purges: PurgeTable, host: Host): OpenedStoreLevel {
  const { strategy, variants } = options;
  const compressAbove = parseSize(options.compressAbove ?? COMPRESS_ABOVE);
  return openStoreLevel({ store, strategy, compressAbove, variants, purges }, host);
}
