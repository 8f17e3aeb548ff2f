/** What a stage gives the script that it is, beside the message: one for each stage and generation. */
import type { Host } from "../plugin.ts";
import type { KeyValueStore } from "../store/store.ts";
import { FetchClient, type OpenFetch, type ScriptFetch } from "./host-fetch.ts";
import { ScriptMetrics } from "./script-metrics.ts";
import type { ScriptBundle, ScriptGrants, ScriptLimits } from "./script.ts";

export interface ScriptStage {
  readonly bundle: ScriptBundle;
  readonly limits: ScriptLimits;
  readonly grants: ScriptGrants;
  readonly options: unknown;
  readonly host: Host;
  readonly metrics: ScriptMetrics;
  /** Sends requests as granted. */
  readonly fetch: ScriptFetch | undefined;
  /** The store that is granted. */
  readonly store: KeyValueStore | undefined;
  /** For calls on this thread. */
  readonly syncOptions: { readonly timeout: number };
  /** For calls on a thread of their own. */
  readonly asyncOptions: { readonly timeout: number };
}

/** What a demoted script is given, as a multiple of what it had. */
const DEMOTED_FACTOR = 5;

export function createScriptStage(
  bundle: ScriptBundle,
  limits: ScriptLimits,
  grants: ScriptGrants,
  options: unknown,
  host: Host,
  openFetch: OpenFetch = (grant) => new FetchClient(grant),
): ScriptStage {
  const fetch = grants.fetch && openFetch(grants.fetch);
  if (fetch !== undefined) host.onClose(() => fetch.close());
  return {
    bundle,
    limits,
    grants,
    options,
    host,
    metrics: host.keep(`metrics of script ${bundle.name}`, () => new ScriptMetrics(bundle.name)),
    fetch,
    store: grants.kv === undefined ? undefined : host.stores.get(grants.kv.store),
    syncOptions: { timeout: limits.cpuMs },
    asyncOptions: { timeout: limits.cpuMs * DEMOTED_FACTOR },
  };
}

/** The stage as the guest knows it. */
export function describeStage({ bundle, grants, options, host }: ScriptStage): string {
  return JSON.stringify({
    options,
    script: bundle.name,
    route: host.route,
    secrets: Object.keys(grants.secrets),
  });
}
