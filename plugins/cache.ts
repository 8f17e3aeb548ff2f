/**
 * Keeps replies and answers with them (RFC 9111, 5861, 9213).
 *
 * Stands below what decides who may pass and what replies are made of for one client only (`auth`, `cors`, `compress`),
 * and above `retry`, `breaker` and what sends. It calls next for what it cannot answer, on an exchange of its own: once
 * for any number of requests with the same key that come meanwhile. Every reply says in Cache-Status (RFC 9211) what
 * the cache did. Without options it does what the RFCs say and keeps 64 MB in memory; `ttl`, `statuses` and
 * `ignoreCacheControl` say more than upstreams do. A client that goes away does not stop what is being stored.
 * When the upstream fails, what is stale is used where it or `staleIfError` allows it; else failures go to all who wait
 * for them and are not stored.
 */
import { type FromSchema, type Plugin } from "../core/plugin.ts";
import { compileRules } from "./cache/rules.ts";
import { schema } from "./cache/schema.ts";

export const cache: Plugin<FromSchema<typeof schema>> = {
  name: "cache",
  schema,
  sends: () => true,
  build(options, host) {
    return () => { throw new Error("todo"); };
  },
};
