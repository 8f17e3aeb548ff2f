/** What operators see and set of an upstream, at `/admin/upstreams`. */
import { checkSent } from "../config/check-sent.ts";
import { ConfigError } from "../errors.ts";
import type { JsonSchema } from "../plugin.ts";
import type { Keeper, KeptMember } from "./keeper.ts";
import { ADMIN_STATES, type AdminState } from "./target-record.ts";

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
      enum: ADMIN_STATES,
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
export function describeUpstream({ name, panic, discovery, members, eligible }: Keeper, now: number): object {
  const isEligible = new Set(eligible);
  return {
    name,
    panic,
    ...(discovery === undefined ? {} : { discovery: { failure: discovery.failure?.message ?? null } }),
    targets: members.map((member) => describeTarget(member, isEligible.has(member), now)),
  };
}

function describeTarget({ state, weight, baseWeight }: KeptMember, eligible: boolean, now: number): object {
  return {
    id: state.id,
    url: state.url,
    eligible,
    state: state.adminState,
    healthy: state.isHealthy(now),
    reason: state.unhealthyReason(now) ?? null,
    ejectedForMs: Math.max(0, Math.round(state.ejectedUntil - now)),
    weight: Math.round(weight * 1000) / 1000,
    configuredWeight: baseWeight,
    inFlight: state.inFlight,
    latencyMs: Math.round(state.latencyMs(now) * 100) / 100,
  };
}

/**
 * Sets a target.
 * @throws ConfigError with pointers into what is set; then nothing was
 */
export function changeTarget({ members }: Keeper, { target: id, set }: TargetChange): void {
  const state = members.map((member) => member.state).find((each) => each.id === id);
  if (state === undefined) throw new ConfigError(`There is no target ${JSON.stringify(id)}`);
  checkSent(settingsSchema, set);
  const { state: adminState, weight } = set as { state?: AdminState; weight?: number | null };
  state.override(adminState, weight);
}
