/** The catalogue of strategies: from a name to the rule that picks. */
import { compileKey } from "../../core/key.ts";
import { ConfigError, type Host, type Upstream } from "../../core/plugin.ts";
import { type BalancerOptions, balanceProperties, type Strategy } from "./options.ts";
import { type PickRule, shareRule } from "./pick-rule.ts";
import { ConsistentHash, type Key, LiveRing } from "./rules/consistent-hash.ts";
import { Ewma } from "./rules/ewma.ts";
import { LeastConnections } from "./rules/least-connections.ts";
import { PowerOfTwoChoices } from "./rules/power-of-two-choices.ts";
import { RandomRule } from "./rules/random.ts";
import { RoundRobin } from "./rules/round-robin.ts";
import { WeightedRoundRobin } from "./rules/weighted-round-robin.ts";

/** How many times its share a target gets at most, unless the options say. */
const LOAD_FACTOR = 1.25;

const byAddress: Key = (x) => x.clientAddress;

/** Rules that all routes of an upstream share. */
const SHARED = {
  "round-robin": RoundRobin,
  "weighted-round-robin": WeightedRoundRobin,
  "least-connections": LeastConnections,
  random: RandomRule,
  "power-of-two-choices": PowerOfTwoChoices,
  ewma: Ewma,
} as const satisfies Partial<Record<Strategy, new (upstream: Upstream, host: Host) => PickRule>>;

/**
 * Creates the rule that options ask for.
 * @param pointer where the options are, for messages
 * @throws ConfigError
 */
export function createRule(
  options: BalancerOptions,
  upstream: Upstream,
  host: Host,
  pointer: string,
): PickRule {
  const { strategy = balanceProperties.strategy.default } = options;
  if (strategy !== "consistent-hash") refuseUnused(options, strategy, pointer);
  if (strategy === "consistent-hash" || strategy === "ip-hash") {
    const live = shareRule(host, upstream, "ring", () => new LiveRing(upstream));
    if (strategy === "ip-hash") return new ConsistentHash(live, byAddress, Number.POSITIVE_INFINITY, host);
    const { key = "ip", loadFactor = LOAD_FACTOR } = options;
    const factor = loadFactor === false ? Number.POSITIVE_INFINITY : loadFactor;
    return new ConsistentHash(live, compileKey(key, `${pointer}/key`), factor, host);
  }
  const Rule = SHARED[strategy];
  return shareRule<PickRule>(host, upstream, strategy, () => new Rule(upstream, host));
}

/** An option that would do nothing is a mistake: the strategy was forgotten. */
function refuseUnused(options: BalancerOptions, strategy: Strategy, pointer: string): void {
  const problems = (["key", "loadFactor"] as const)
    .filter((name) => options[name] !== undefined)
    .map((name) => ({
      code: "CONFIG_OPTION_INVALID",
      message: `\`${name}\` is for \`strategy: consistent-hash\`; here the strategy is ${strategy}`,
      pointer: `${pointer}/${name}`,
      atKey: true,
    }));
  if (problems.length > 0) throw new ConfigError(problems);
}
