/** Opens what counts for a stage: a limiter a plan, in memory or in a store on the network. */
import { OptionBounds } from "../../core/option-bounds.ts";
import type { Host, JsonSchema, Problem } from "../../core/plugin.ts";
import { createLeaseLimiter } from "./lease-limiter.ts";
import type { Limiter, Plan } from "./limiter.ts";
import { createMemoryLimiter } from "./memory-limiter.ts";
import { createRedisLimiter } from "./redis-limiter.ts";
import { type LimitOptions, limitSchema } from "./schema.ts";
import { sharePlan } from "./share-plan.ts";
import { createStandbyLimiter, openStandby } from "./standby-limiter.ts";

/** Options about a store that nobody asks. */
const OF_STORES = ["lease", "timeout", "onStoreError", "localShare"] as const;

/** How a store on the network is used. */
interface StoreRules {
  readonly store: string;
  readonly timeoutMs: number;
  readonly onStoreError: LimitOptions["onStoreError"];
  readonly localShare: number;
  /** Undefined when the store is asked for each request. */
  readonly lease: { readonly share: number; readonly leaseMs: number } | undefined;
}

/**
 * @param problems where what is wrong with the options goes
 * @returns undefined when no store is named
 */
export function compileStoreRules(options: LimitOptions, problems: Problem[]): StoreRules | undefined {
  const { store, onStoreError } = options;
  if (store === undefined) {
    for (const name of OF_STORES) {
      const property: JsonSchema = limitSchema.properties[name];
      if (options[name] === property["default"]) continue;
      const message = `\`${name}\` is about a store on the network: name it by \`store\``;
      problems.push({ code: "CONFIG_VALUE", message, pointer: `/${name}` });
    }
    return undefined;
  }
  if (onStoreError !== "local" && options.localShare !== limitSchema.properties.localShare.default) {
    const message = `\`localShare\` is for \`onStoreError: local\`; with \`${onStoreError}\` it does nothing`;
    problems.push({ code: "CONFIG_VALUE", message, pointer: "/localShare" });
  }
  const bounds = new OptionBounds(options, "", problems);
  return {
    store,
    onStoreError,
    timeoutMs: bounds.duration("timeout", "1ms", "10s"),
    localShare: bounds.share("localShare", "0.01%"),
    lease: options.lease && compileLease(options.lease, problems),
  };
}

function compileLease(lease: NonNullable<LimitOptions["lease"]>, problems: Problem[]): StoreRules["lease"] {
  const bounds = new OptionBounds(lease, "/lease", problems);
  return { share: bounds.share("share", "0.01%"), leaseMs: bounds.duration("time", "1ms", "1h") };
}

/** @returns opens the limiter of a plan; those of all plans count the same keys */
export function createOpenLimiter(
  scope: string,
  rules: StoreRules | undefined,
  host: Host,
): (plan: Plan) => Limiter {
  const store = rules && host.stores.get(rules.store)!;
  // A store in memory is this gateway's alone, and cells that all threads see are faster.
  if (rules === undefined || !store!.runsScripts) return (plan) => createMemoryLimiter(scope, plan, host);
  const { timeoutMs, onStoreError, localShare, lease } = rules;
  const standby = openStandby(rules, host);
  return (plan) => {
    let primary: Limiter;
    if (lease === undefined) primary = createRedisLimiter(scope, plan, store!, { timeoutMs });
    else {
      const leases = createLeaseLimiter(scope, plan, store!, { timeoutMs, ...lease });
      host.onClose(() => leases.close());
      primary = leases;
    }
    const local =
      onStoreError === "local"
        ? createMemoryLimiter(`${scope}/local`, sharePlan(plan, localShare), host)
        : undefined;
    return createStandbyLimiter(primary, local, plan, standby);
  };
}
