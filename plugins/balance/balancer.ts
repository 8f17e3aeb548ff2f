/**
 * Sends exchanges to targets of an upstream: the mechanism, apart from the rule that picks. A target that the rule
 * picks is passed over when it failed this exchange already, or when a stage above does not admit it.
 */
import {
  ConfigError,
  type Exchange,
  type Handler,
  type Host,
  type Target,
  type Upstream,
} from "../../core/plugin.ts";
import { findRefusal, forwardTo, isAdmitted } from "../../core/target-guards.ts";
import type { BalancerOptions } from "./options.ts";
import type { PickRule } from "./pick-rule.ts";
import { Sticky } from "./sticky.ts";
import { createRule } from "./strategies.ts";

/**
 * Creates a handler that ends a pipeline.
 * @param pointer where the options are, for messages
 * @throws ConfigError CONFIG_UNKNOWN_UPSTREAM, and for options that do not go together
 */
export function createBalancer(options: BalancerOptions, host: Host, pointer = ""): Handler {
  const upstream = host.upstreams.get(options.upstream);
  if (upstream === undefined) {
    const message = `There is no upstream "${options.upstream}"`;
    throw new ConfigError(message, `${pointer}/upstream`, "CONFIG_UNKNOWN_UPSTREAM");
  }
  const chooser = new Chooser(upstream, createRule(options, upstream, host, pointer), host);
  if (options.sticky === undefined) return (x) => forwardTo(chooser.choose(x), x);

  const sticky = new Sticky(options.sticky, upstream, host, `${pointer}/sticky`);
  return async (x) => {
    const session = sticky.take(x);
    const target =
      session !== undefined && chooser.mayKeep(x, session.target) ? session.target : chooser.choose(x);
    const reply = await forwardTo(target, x);
    sticky.settle(session, x, target, reply);
    return reply;
  };
}

/** Picks that a rule is asked for, before the targets are gone through. */
const PICKS = 4;

/** Chooses the target of an exchange. */
class Chooser {
  readonly #upstream: Upstream;
  readonly #rule: PickRule;
  readonly #host: Host;

  constructor(upstream: Upstream, rule: PickRule, host: Host) {
    this.#upstream = upstream;
    this.#rule = rule;
    this.#host = host;
  }

  /** @throws GatewayError UPSTREAM_UNAVAILABLE */
  choose(x: Exchange): Target {
    const picked = this.#rule.pick(x);
    if (picked === undefined) throw this.#upstream.unavailable();
    if (x.tried === undefined && x.guards === undefined) return picked;
    const isTried = x.tried?.includes(picked) ?? false;
    return !isTried && isAdmitted(x, picked) ? picked : this.#chooseOther(x, isTried ? undefined : picked);
  }

  /** True when an exchange may go to the target that it belongs to. */
  mayKeep(x: Exchange, target: Target): boolean {
    return this.#upstream.accepts(target) && !x.tried?.includes(target) && isAdmitted(x, target);
  }

  /** @param refused what was not admitted already: admitting counts, so nobody is asked twice */
  #chooseOther(x: Exchange, refused: Target | undefined): Target {
    const { tried = [] } = x;
    const asked = new Set<Target | undefined>([refused]);
    for (const target of this.#candidates(x)) {
      if (tried.includes(target) || asked.has(target)) continue;
      if (isAdmitted(x, target)) return target;
      asked.add(target);
    }
    // All that are left have failed it: the one that did so longest ago.
    for (const target of tried) {
      if (asked.has(target) || !this.#upstream.eligible.includes(target)) continue;
      if (isAdmitted(x, target)) return target;
      asked.add(target);
    }
    throw findRefusal(x) ?? this.#upstream.unavailable();
  }

  /** All eligible targets, those that the rule prefers first; some come more than once. */
  *#candidates(x: Exchange): Generator<Target> {
    const rule = this.#rule;
    if (rule.others !== undefined) return yield* rule.others(x);
    for (let i = 0; i < PICKS; i++) {
      const picked = rule.pick(x);
      if (picked !== undefined) yield picked;
    }
    const { eligible } = this.#upstream;
    const start = Math.floor(this.#host.random() * eligible.length);
    for (let i = 0; i < eligible.length; i++) yield eligible[(start + i) % eligible.length]!;
  }
}
