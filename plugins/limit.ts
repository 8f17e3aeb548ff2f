/**
 * Limits how many requests come in a time: of a route, an address, a consumer, or whatever `by` says.
 *
 * Stands below what tells who asks and above what costs work, and calls next for those that may pass. Others see 429
 * RATE_LIMITED or CLIENT_BANNED with Retry-After; whoever is in `deny` sees 403 CLIENT_DENIED, whoever is in `allow` is
 * not counted. Replies and refusals tell what is left. Above `retry` an exchange is counted once, below it each
 * attempt is. Consumers of a tier have rates of their own and keep what they have consumed when it changes; with
 * `global` or an upstream in `by` the stages of one name count together over all routes. Requests that lack a value of
 * the key are counted by address. With `charge` the reply says what a request has cost in the end.
 * Without `store`, or with one in memory, all threads of a gateway count together. With a store on the network all
 * gateways do; `onStoreError` says what holds without it: 503 STORE_UNAVAILABLE with `deny`.
 */
import { ConfigError, type Host, type Plugin, type Problem } from "../core/plugin.ts";
import { compileClients } from "./limit/clients.ts";
import { Charge, compileCost } from "./limit/cost.ts";
import { ExposedLimit, type LimitedTier } from "./limit/exposure.ts";
import { Gate, type Tier } from "./limit/gate.ts";
import { compileKeys } from "./limit/keys.ts";
import type { Plan } from "./limit/limiter.ts";
import { compileStoreRules, createOpenLimiter } from "./limit/open-limiters.ts";
import { compilePlans, tierOf } from "./limit/plans.ts";
import { ReplyFields } from "./limit/reply-fields.ts";
import { type LimitOptions, limitSchema } from "./limit/schema.ts";
import { openStats } from "./limit/stats.ts";
import { openTopKeys } from "./limit/top-keys.ts";

export const limit: Plugin<LimitOptions> = {
  name: "limit",
  schema: limitSchema,
  guard: true,
  build(options, host) {
    const gate = openGate(options, host);
    return (next) => (x) => gate.handle(x, next);
  },
};

/** @throws ConfigError with all that makes no sense */
function openGate(options: LimitOptions, host: Host): Gate {
  const problems: Problem[] = [];
  const keys = compileKeys(options, host, problems);
  const plans = compilePlans(options, problems);
  const isAllowed = compileClients(options.allow, "/allow", problems);
  const isDenied = compileClients(options.deny, "/deny", problems);
  const costOf = compileCost(options.cost, problems);
  const charge = options.charge && new Charge(options.charge, problems);
  const storeRules = compileStoreRules(options, problems);
  if (problems.length > 0) throw new ConfigError(problems);

  const stats = openStats(host);
  const openLimiter = createOpenLimiter(keys.scope, storeRules, host);
  const prefix = host.stage === limit.name ? "" : `${host.stage}:`;
  const openTier = (name: string, plan: Plan): Tier & LimitedTier => ({
    tier: name,
    plan,
    limiter: openLimiter(plan),
    fields: options.headers.length === 0 ? undefined : new ReplyFields(plan, prefix, options.headers),
    rules: plan.rules.map((rule) => stats.rule(name, rule.name)),
  });
  const topKeys = openTopKeys(host);
  const base = openTier("", plans.base);
  const tiers = new Map([...plans.tiers].map(([name, plan]) => [name, openTier(name, plan)]));
  const { route, stage } = host;
  const all = [base, ...tiers.values()] as const;
  const exposed = new ExposedLimit({ route, stage, options, tiers: all, topKeys, stats });
  host.expose("limits", `${route}:${stage}`, exposed);
  return new Gate({
    isDenied,
    isAllowed,
    tierOf:
      tiers.size === 0
        ? () => base
        : ({ consumer }) => {
            const name = tierOf(consumer, tiers);
            return name === undefined ? base : tiers.get(name)!;
          },
    keyOf: (x) => keys.keyOf(x),
    costOf,
    charge,
    isReport: options.mode === "report",
    stats,
    topKeys,
    bans: host.audit.recorder("ban", "refused"),
  });
}
