/** What operators see and set of an upstream, at `/admin/upstreams`. */
import type { UpstreamConfig } from "../config/checked.ts";
import { createValidator } from "../config/validate.ts";
import { ConfigError, type Problem } from "../errors.ts";
import type { JsonSchema } from "../plugin.ts";
import { childPointer } from "../pointer.ts";
import type { Discovery } from "./discovery/discovery.ts";
import type { HttpTarget } from "./target.ts";
import type { TargetStates } from "./target-state.ts";

/** What can be set of a target. */
const targetPatchSchema = {
  type: "object",
  description: "What an operator sets of a target.",
  properties: {
    weight: {
      type: ["integer", "null"],
      minimum: 0,
      maximum: 10000,
      description: "Weight instead of the configured one; null for the configured one again.",
    },
    state: {
      type: "string",
      enum: ["active", "draining", "disabled"],
      description: "`draining` takes only requests of sessions that it has, `disabled` takes none.",
    },
  },
  additionalProperties: false,
  minProperties: 1,
} as const satisfies JsonSchema;

/** The part of an upstream that is shown. */
interface Shown {
  readonly name: string;
  readonly config: UpstreamConfig;
  readonly states: TargetStates;
  readonly targets: readonly HttpTarget[];
  readonly eligible: readonly HttpTarget[];
  readonly discovery: Discovery | undefined;
}

/** An upstream with its targets, for people. */
export function describeUpstream(upstream: Shown, now: number): object {
  const { name, targets, discovery, states } = upstream;
  const eligible = new Set(upstream.eligible);
  const { failure } = discovery ?? {};
  return {
    name,
    panic: states.panic,
    ...(discovery === undefined ? {} : { discovery: { failure: failure?.message ?? null } }),
    targets: targets.map((target) => {
      const { state } = target;
      return {
        id: target.id,
        url: target.url,
        eligible: eligible.has(target),
        state: state.adminState,
        healthy: state.isHealthy(now),
        ejectedForMs: Math.max(0, Math.round(state.ejectedUntil - now)),
        weight: target.weight,
        configuredWeight: target.baseWeight,
        inFlight: target.inFlight,
        latencyMs: Math.round(target.latencyMs * 100) / 100,
      };
    }),
  };
}

/**
 * Sets targets.
 * @param patch `{ targets: { [id]: { weight, state } } }`
 * @throws ConfigError with pointers into the patch; then nothing was set
 */
export function changeTargets({ targets }: Shown, patch: unknown): void {
  const changes = Object.entries((patch as { targets?: Record<string, unknown> } | null)?.targets ?? {});
  const validate = createValidator(targetPatchSchema);
  const problems: Problem[] = [];
  const sets = changes.map(([id, change]) => {
    const pointer = childPointer("/targets", id);
    const target = targets.find((each) => each.id === id);
    if (target === undefined) {
      const known = targets.map((each) => each.id).join(", ");
      const message = `There is no target ${JSON.stringify(id)}; there are ${known}`;
      problems.push({ code: "CONFIG_VALUE", message, pointer });
    }
    for (const { instancePath, message = "is not valid" } of validate(change)) {
      problems.push({ code: "CONFIG_VALUE", message, pointer: `${pointer}${instancePath}` });
    }
    return () => {
      const { state, weight } = change as { state?: "active"; weight?: number | null };
      target?.state.override(state, weight);
    };
  });
  if (problems.length > 0) throw new ConfigError(problems);
  for (const set of sets) set();
}
