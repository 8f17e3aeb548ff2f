/** What operators see and set of an upstream, at `/admin/upstreams`. */
import { explainErrors } from "../config/explain.ts";
import { createValidator } from "../config/validate.ts";
import { ConfigError } from "../errors.ts";
import type { JsonSchema } from "../plugin.ts";
import type { HttpTarget } from "./target.ts";
import type { AdminState } from "./target-state.ts";
import type { LiveUpstream } from "./upstream.ts";

/** What can be set of a target. */
const settingsSchema = {
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

/** What is set, of which target. */
export interface TargetChange {
  /** Its id. */
  readonly target: string;
  /** Unchecked. */
  readonly set: unknown;
}

/** An upstream with its targets, for people. */
export function describeUpstream(upstream: LiveUpstream, now: number): object {
  const { name, panic, discovery, targets } = upstream;
  const eligible = new Set(upstream.eligible);
  return {
    name,
    panic,
    ...(discovery === undefined ? {} : { discovery: { failure: discovery.failure?.message ?? null } }),
    targets: targets.map((target) => describeTarget(target, eligible.has(target), now)),
  };
}

function describeTarget(target: HttpTarget, eligible: boolean, now: number): object {
  const { id, url, state, weight, baseWeight, inFlight, latencyMs } = target;
  return {
    id,
    url,
    eligible,
    state: state.adminState,
    healthy: state.isHealthy(now),
    reason: state.unhealthyReason(now) ?? null,
    ejectedForMs: Math.max(0, Math.round(state.ejectedUntil - now)),
    weight: Math.round(weight * 1000) / 1000,
    configuredWeight: baseWeight,
    inFlight,
    latencyMs: Math.round(latencyMs * 100) / 100,
  };
}

/**
 * Sets a target.
 * @throws ConfigError with pointers into what is set; then nothing was
 */
export function changeTarget(upstream: LiveUpstream, { target: id, set }: TargetChange): void {
  const target = upstream.targets.find((each) => each.id === id);
  if (target === undefined) throw new ConfigError(`There is no target ${JSON.stringify(id)}`);
  const context = { root: settingsSchema, base: "", isHidden: () => false, onSecret: () => {} };
  const problems = explainErrors(createValidator(settingsSchema)(set), context);
  if (problems.length > 0) {
    throw new ConfigError(
      problems.map(({ code, message, pointer, suggestion }) => ({
        code,
        message,
        pointer,
        ...(suggestion === undefined ? {} : { suggestion }),
      })),
    );
  }
  const { state, weight } = set as { state?: AdminState; weight?: number | null };
  target.state.override(state, weight);
}
