/**
 * Keeps replies and answers with them (RFC 9111, 5861, 9213).
 *
 * Stands below what decides who may pass (`auth`, `authorize`, `limit`) and what makes replies for one client only
 * (`cors`), and above `retry`, `breaker` and what sends. It calls next for what it cannot answer, on an exchange of its
 * own: once for any number of requests with the same key that come meanwhile. Every reply says in Cache-Status
 * (RFC 9211) what the cache did. Without options it does what the RFCs say and keeps 64 MB in memory; `ttl`, `statuses`
 * and `ignoreCacheControl` say more than upstreams do. A client that goes away does not stop what is being stored.
 * When the upstream fails, what is stale is used where the reply or `staleIfError` allows it; else the failure goes to
 * all who wait, and is not stored.
 */
import type { Plugin } from "../core/plugin.ts";
import { CacheCounts } from "./cache/counts.ts";
import { FillBudget } from "./cache/fill.ts";
import { createMemoryLevel } from "./cache/memory/memory-level.ts";
import { PurgeTable } from "./cache/purges.ts";
import { compileRules } from "./cache/rules.ts";
import { type Options, schema } from "./cache/schema.ts";
import { CacheStage } from "./cache/stage.ts";

export const cache: Plugin<Options> = {
  name: "cache",
  schema,
  harmAboveAuth: () => "would give strangers what is stored for others",
  build(options, host) {
    const { route, stage, clock, shared } = host;
    const rules = compileRules(options, shared.threads);
    // What is stored outlives reloads: it belongs to the route and the stage, not to the options.
    const kept = host.keep(`cache ${route} ${stage}`, () => {
      const purges = new PurgeTable();
      const random = (): number => host.random();
      const level = createMemoryLevel({ ...rules.memory, purges, clock, random });
      return { level, purges, counts: new CacheCounts(), close: () => level.close() };
    });
    kept.level.setBounds(rules.memory);
    kept.counts.collect(host);
    // Bodies on their way may take as much again.
    const budget = new FillBudget(rules.memory.maxBytes);
    return (next) => {
      const served = new CacheStage(next, rules, kept, budget, host);
      return (x) => served.handle(x);
    };
  },
};
