/** Runs the rules of strategies on targets in memory. */
import type { Exchange } from "../../../core/plugin.ts";
import type { BalancerOptions } from "../../../plugins/balance/options.ts";
import type { PickRule } from "../../../plugins/balance/pick-rule.ts";
import { createRule } from "../../../plugins/balance/strategies.ts";
import { exchange, FakeHost, type FakeTarget, FakeUpstream } from "../../support/harness.ts";

/** A host whose random numbers are the same in every run (mulberry32). */
export class SeededHost extends FakeHost {
  #state: number;

  constructor(seed = 1) {
    super();
    this.#state = seed;
  }

  override random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** An upstream with a target for each weight: `t0`, `t1` and so on. */
export function upstreamOf(weights: readonly number[]): FakeUpstream {
  const upstream = new FakeUpstream(
    "users",
    weights.map((_, i) => `t${i}`),
  );
  upstream.weigh(...weights);
  return upstream;
}

export const equal = (count: number): number[] => Array<number>(count).fill(1);

export function ruleOf(
  upstream: FakeUpstream,
  options: Omit<BalancerOptions, "upstream">,
  host: FakeHost = new SeededHost(),
): PickRule {
  host.upstreams.set(upstream.name, upstream);
  return createRule({ upstream: upstream.name, ...options }, upstream, host, "");
}

export const from = (clientAddress: string): Exchange => exchange({ init: { clientAddress } });

/** A target that was picked; there must be one. */
export function pick(rule: PickRule, x: Exchange = exchange()): FakeTarget {
  const target = rule.pick(x);
  if (target === undefined) throw new Error("nothing was picked");
  return target as FakeTarget;
}

/** How often each of the upstream's targets is picked, in order. */
export function countPicks(upstream: FakeUpstream, rule: PickRule, count: number): number[] {
  const counts = new Map(upstream.targets.map((target) => [target, 0]));
  const x = exchange();
  for (let i = 0; i < count; i++) {
    const target = pick(rule, x);
    counts.set(target, counts.get(target)! + 1);
  }
  return [...counts.values()];
}

/** Ids of the next targets. */
export function ids(rule: PickRule, count: number): string[] {
  return Array.from({ length: count }, () => pick(rule).id);
}

export const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
