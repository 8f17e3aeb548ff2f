/**
 * Sends exchanges to targets of an upstream: the mechanism, apart from the rule that picks. A target that the rule
 * picks is passed over when it failed this exchange already, or when a stage above does not admit it.
 */
import {
  ConfigError,
  type Exchange,
  GatewayError,
  type Handler,
  type Host,
  type Target,
  type Upstream,
} from "../../core/plugin.ts";

/** Picks the target that would be best for an exchange, of those that are eligible now. */
export interface PickRule {
  /** Undefined when nothing is eligible. */
  pick(x: Exchange): Target | undefined;
}

/** What a balancer must know; a `balance` stage has more. */
export interface BalancerOptions {
  readonly upstream: string;
}

/**
 * Creates a handler that ends a pipeline.
 * @param pointer where the options are, for messages
 * @throws ConfigError CONFIG_UNKNOWN_UPSTREAM
 */
export function createBalancer(options: BalancerOptions, host: Host, pointer = ""): Handler {
  const upstream = host.upstreams.get(options.upstream);
  if (upstream === undefined) {
    const message = `There is no upstream "${options.upstream}"`;
    throw new ConfigError(message, `${pointer}/upstream`, "CONFIG_UNKNOWN_UPSTREAM");
  }
  const rule = roundRobin(upstream, host);
  return (x) => {
    let target = rule.pick(x);
    if (target === undefined) throw upstream.unavailable();
    if (x.tried !== undefined || x.guards !== undefined) target = another(x, upstream, target);
    return target.forward(x);
  };
}

/** The picked target if it may be asked, else one that may. */
function another(x: Exchange, upstream: Upstream, picked: Target): Target {
  const { tried } = x;
  if (!tried?.includes(picked) && isAdmitted(x, picked)) return picked;
  const { eligible } = upstream;
  const start = Math.max(0, eligible.indexOf(picked));
  for (const fresh of [true, false]) {
    for (let i = 0; i < eligible.length; i++) {
      const target = eligible[(start + i) % eligible.length]!;
      if ((tried?.includes(target) ?? false) !== fresh && isAdmitted(x, target)) return target;
    }
  }
  throw new GatewayError("UPSTREAM_UNAVAILABLE", { headers: ["retry-after", "1"] });
}

function isAdmitted(x: Exchange, target: Target): boolean {
  return x.guards?.every((guard) => guard.admit(target, x)) ?? true;
}

/** Whose turn it is; kept across generations so that frequent edits do not favour the first target. */
interface Turn {
  next: number;
}

function roundRobin(upstream: Upstream, host: Host): PickRule {
  const turn: Turn = host.keep(`balance round-robin ${upstream.name}`, () => ({ next: 0 }));
  return {
    pick() {
      const { eligible } = upstream;
      return eligible[turn.next++ % eligible.length];
    },
  };
}
