/** The plans that options describe: one for everybody, and one for each tier that has other rates. */
import { OptionBounds } from "../../core/option-bounds.ts";
import type { Consumer, Problem } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { parseDuration, parseRate } from "../../core/units.ts";
import type { Algorithm, BanRule, Plan, Rule } from "./limiter.ts";
import { capacityOf, MOST_HELD, MOST_TICKS, ticksOf } from "./rule-arithmetic.ts";
import type { LimitOptions } from "./schema.ts";

type Rates = Pick<LimitOptions, "rate" | "burst" | "rules">;
type RuleOption = NonNullable<LimitOptions["rules"]>[number];

const MOST_UNITS = 1_000_000_000;
const LONGEST_WINDOW = "366d";

/** What an algorithm can count. */
const BOUNDS = {
  "token-bucket": { units: MOST_UNITS, window: LONGEST_WINDOW, hasBucket: true },
  hybrid: { units: 16_777_215, window: LONGEST_WINDOW, hasBucket: true },
  "fixed-window": { units: 16_777_215, window: LONGEST_WINDOW, hasBucket: false },
  "sliding-window-counter": { units: 16_777_215, window: LONGEST_WINDOW, hasBucket: false },
  "sliding-window-log": { units: 10_000, window: "20d", hasBucket: false },
} as const satisfies Record<Algorithm, { units: number; window: string; hasBucket: boolean }>;

export interface Plans {
  /** For those that no tier fits. */
  readonly base: Plan;
  /** By tier or role, in their order. */
  readonly tiers: ReadonlyMap<string, Plan>;
}

/** The name of the plan of a consumer; undefined for the base. The tier decides before the roles. */
export function tierOf(
  consumer: Consumer | undefined,
  tiers: ReadonlyMap<string, unknown>,
): string | undefined {
  if (consumer === undefined) return undefined;
  const { tier, roles } = consumer;
  if (tier !== undefined && tiers.has(tier)) return tier;
  if (roles.length > 0) for (const name of tiers.keys()) if (roles.includes(name)) return name;
  return undefined;
}

/** @param problems where what is wrong with the rates goes */
export function compilePlans(options: LimitOptions, problems: Problem[]): Plans {
  const ban = options.ban && compileBan(options.ban, problems);
  const { countRejected, tiers = {} } = options;
  const planOf = (rates: Rates, pointer: string): Plan => ({
    rules: new RulesCompiler(options.algorithm, problems).compile(rates, pointer),
    ban,
    countRejected,
  });
  const plans: Plans = {
    base: planOf(options, ""),
    tiers: new Map(
      Object.entries(tiers).map(([name, rates]) => [name, planOf(rates, childPointer("/tiers", name))]),
    ),
  };
  checkCost(options.cost, plans, problems);
  return plans;
}

function compileBan(option: NonNullable<LimitOptions["ban"]>, problems: Problem[]): BanRule {
  const bounds = new OptionBounds(option, "/ban", problems);
  return {
    after: option.after,
    withinMs: Math.ceil(bounds.wait("within")),
    forMs: Math.ceil(bounds.wait("for")),
  };
}

/** What a request always takes must be something that there can be. */
function checkCost(cost: LimitOptions["cost"], { base, tiers }: Plans, problems: Problem[]): void {
  const [units, pointer] = typeof cost === "number" ? [cost, "/cost"] : [cost.default, "/cost/default"];
  const rules = [base, ...tiers.values()].flatMap((plan) => plan.rules);
  const tooSmall = rules.find((rule) => capacityOf(rule) < units);
  if (tooSmall === undefined) return;
  const message = `A request costs ${units}, and the rule ${tooSmall.name} never has more than ${capacityOf(tooSmall)}`;
  problems.push({ code: "CONFIG_VALUE", message, pointer });
}

class RulesCompiler {
  readonly #algorithm: Algorithm;
  readonly #problems: Problem[];

  constructor(algorithm: Algorithm, problems: Problem[]) {
    this.#algorithm = algorithm;
    this.#problems = problems;
  }

  compile(rates: Rates, pointer: string): Rule[] {
    const { rate, burst, rules } = rates;
    if (rules === undefined) {
      return [this.#rule(burst === undefined ? { rate: rate! } : { rate: rate!, burst }, pointer)];
    }
    if (burst !== undefined) {
      this.#report("`burst` goes to the rule whose bucket it is", `${pointer}/burst`);
    }
    const compiled = rules.map((rule, i) => this.#rule(rule, childPointer(`${pointer}/rules`, i)));
    for (const [i, { name }] of compiled.entries()) {
      if (compiled.findIndex((other) => other.name === name) === i) continue;
      const message = `Two rules are called ${name}; give one of them another \`name\``;
      this.#report(message, childPointer(`${pointer}/rules`, i), "CONFIG_DUPLICATE_NAME");
    }
    return compiled;
  }

  #rule(option: RuleOption, pointer: string): Rule {
    const { rate, burst } = option;
    const algorithm = option.algorithm ?? this.#algorithm;
    const { count, windowMs } = parseRate(rate);
    const { units, window, hasBucket } = BOUNDS[algorithm];
    const atRate = `${pointer}/rate`;
    if (count > units) {
      this.#report(`\`${algorithm}\` counts up to ${units.toLocaleString("en")}`, atRate);
    }
    if (windowMs > parseDuration(window)) {
      this.#report(`A window of \`${algorithm}\` is at most ${window}`, atRate);
    }
    const rule: Rule = {
      name: option.name ?? rate.slice(rate.indexOf("/") + 1),
      algorithm,
      count,
      windowMs,
      burst: burst ?? count,
    };
    if (hasBucket) {
      if (windowMs <= parseDuration(window)) this.#checkBucket(rule, pointer);
    } else if (burst !== undefined) {
      this.#report(
        `\`burst\` is for buckets: \`token-bucket\` and \`hybrid\`, not \`${algorithm}\``,
        `${pointer}/burst`,
      );
    }
    return rule;
  }

  #checkBucket(rule: Rule, pointer: string): void {
    const { algorithm, count, windowMs, burst } = rule;
    const { unit, gain } = ticksOf(rule);
    if (gain > MOST_TICKS) {
      this.#report(
        "A bucket cannot be refilled exactly at this rate; use a rounder or smaller number",
        `${pointer}/rate`,
      );
    } else if ((burst / count) * windowMs > parseDuration(LONGEST_WINDOW)) {
      this.#report(`At this rate the bucket is not full again in ${LONGEST_WINDOW}`, `${pointer}/burst`);
    } else if (burst * unit > MOST_HELD) {
      this.#report(
        "A bucket cannot be refilled exactly at this rate; use a rounder or smaller number",
        `${pointer}/rate`,
      );
    }
    if (algorithm === "hybrid" && burst > count) {
      this.#report(`The window never has more than ${count} at once`, `${pointer}/burst`);
    }
  }

  #report(message: string, pointer: string, code = "CONFIG_VALUE"): void {
    this.#problems.push({ code, message, pointer });
  }
}
