/** A limit of one stage, on one thread, as operators look at it and change what is counted. */
import {
  type BanReading,
  type KeyReading,
  type LimitQuestion,
  type LimitReading,
  mergeBans,
} from "../../core/limit-view.ts";
import type { Exposed } from "../../core/plugin.ts";
import type { Limiter, Plan, Rule } from "./limiter.ts";
import type { LimitOptions } from "./schema.ts";
import { type LimitStats, OUTCOMES } from "./stats.ts";
import type { TopKeys } from "./top-keys.ts";

/** What holds for the requests of a tier, and what counts them. */
export interface LimitedTier {
  /** Empty for those of no tier. */
  readonly tier: string;
  readonly plan: Plan;
  readonly limiter: Limiter;
}

/** What a stage shows. */
export interface LimitParts {
  readonly route: string;
  readonly stage: string;
  readonly options: Pick<LimitOptions, "by" | "mode" | "store">;
  /** At least one; they count the same keys. */
  readonly tiers: readonly [LimitedTier, ...LimitedTier[]];
  readonly topKeys: TopKeys;
  readonly stats: LimitStats;
}

export class ExposedLimit implements Exposed {
  readonly #parts: LimitParts;

  constructor(parts: LimitParts) {
    this.#parts = parts;
  }

  async describe(): Promise<LimitReading> {
    const { route, stage, options, tiers, topKeys, stats } = this.#parts;
    return {
      route,
      stage,
      by: options.by,
      mode: options.mode,
      store: options.store ?? null,
      plans: tiers.map(({ tier, plan }) => ({
        tier: tier || null,
        rules: plan.rules.map(showRule),
        ban: plan.ban ?? null,
      })),
      requests: Object.fromEntries(OUTCOMES.map((outcome) => [outcome, stats[outcome]])),
      topKeys: topKeys.read(),
      bans: await this.#bans().catch(() => null),
    };
  }

  /** @throws GatewayError STORE_UNAVAILABLE */
  async ask(question: unknown): Promise<KeyReading> {
    const asked = question as LimitQuestion;
    const { key } = asked;
    for (const { limiter } of this.#parts.tiers) {
      if (asked.kind === "reset") await limiter.reset(key);
      else if (asked.kind === "ban") await limiter.ban(key, asked.forMs);
    }
    return this.#read(key);
  }

  async #read(key: string): Promise<KeyReading> {
    const readings = await Promise.all(
      this.#parts.tiers.map(async ({ tier, plan, limiter }) => {
        const { rules, bannedForMs } = await limiter.read(key);
        const named = plan.rules.map(({ name }, i) => ({ name, ...rules[i]! }));
        return { tier: tier || null, rules: named, bannedForMs };
      }),
    );
    return {
      key,
      bannedForMs: Math.max(...readings.map(({ bannedForMs }) => bannedForMs)),
      plans: readings.map(({ tier, rules }) => ({ tier, rules })),
    };
  }

  async #bans(): Promise<BanReading[]> {
    return mergeBans(await this.#parts.tiers[0].limiter.bans()); // those of all tiers
  }
}

function showRule({ burst, ...rule }: Rule): object {
  const hasBucket = rule.algorithm === "token-bucket" || rule.algorithm === "hybrid";
  return hasBucket ? { ...rule, burst } : rule;
}
