/** What a stage has counted, in plain numbers; it outlives generations. */
import type { Host, Labels } from "../../core/plugin.ts";

/** Refusals by one rule, those that were only reported included. */
export class RuleStats {
  readonly tier: string;
  readonly rule: string;
  refused = 0;

  constructor(tier: string, rule: string) {
    this.tier = tier;
    this.rule = rule;
  }
}

export class LimitStats {
  allowed = 0;
  limited = 0;
  banned = 0;
  bypassed = 0;
  denied = 0;
  reported = 0;
  bans = 0;
  /** Charges and give-backs that a store did not take. */
  unsettled = 0;
  readonly #rules = new Map<string, RuleStats>();

  /** The counts of a rule; the same ones for the same names. */
  rule(tier: string, rule: string): RuleStats {
    const key = JSON.stringify([tier, rule]);
    let stats = this.#rules.get(key);
    if (stats === undefined) this.#rules.set(key, (stats = new RuleStats(tier, rule)));
    return stats;
  }

  get rules(): Iterable<RuleStats> {
    return this.#rules.values();
  }
}

/** What becomes of requests. */
export const OUTCOMES = ["allowed", "limited", "banned", "bypassed", "denied", "reported"] as const;

/** The counts of a stage, with metrics that tell of them. */
export function openStats(host: Host): LimitStats {
  const { route, stage, metrics } = host;
  const stats = host.keep(`limit stats ${route} ${stage}`, () => new LimitStats());
  const labels = { route, stage };
  metrics.collect("sluice_limit_requests_total", "Requests by what a limit made of them.", "counter", () =>
    OUTCOMES.map((outcome): [Labels, number] => [{ ...labels, outcome }, stats[outcome]]),
  );
  metrics.collect("sluice_limit_refused_total", "Requests that a rule had no room for.", "counter", () =>
    Array.from(stats.rules, ({ tier, rule, refused }): [Labels, number] => [
      { ...labels, tier, rule },
      refused,
    ]),
  );
  metrics.collect("sluice_limit_bans_total", "Bans that refusals have led to.", "counter", () => [
    [labels, stats.bans],
  ]);
  metrics.collect(
    "sluice_limit_unsettled_total",
    "Charges after the reply that a store did not take.",
    "counter",
    () => [[labels, stats.unsettled]],
  );
  return stats;
}
