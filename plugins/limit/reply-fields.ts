/**
 * What replies tell of the rules: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10) and the
 * older `X-RateLimit-*`. `limit`, `remaining` and `reset` in `RateLimit` are what clients of draft 7 look for.
 */
import type { HeaderList } from "../../core/plugin.ts";
import type { Decision, Plan, Rule } from "./limiter.ts";
import { capacityOf } from "./rule-arithmetic.ts";
import type { LimitOptions } from "./schema.ts";

/** Seconds, rounded up: nobody is told a time that is too early. */
function seconds(ms: number): number {
  return Math.ceil(ms / 1000);
}

/** The parts of the fields that are the same in each reply. */
interface RuleTexts {
  readonly limit: number;
  readonly start: string;
  readonly middle: string;
}

export class ReplyFields {
  readonly #rules: readonly RuleTexts[];
  readonly #policy: string;
  readonly #isNew: boolean;
  readonly #isOld: boolean;

  /** @param prefix tells the rules from those of other stages of a pipeline */
  constructor(plan: Plan, prefix: string, headers: LimitOptions["headers"]) {
    this.#rules = plan.rules.map((rule) => {
      const limit = capacityOf(rule);
      return { limit, start: `"${prefix}${rule.name}";r=`, middle: `;limit=${limit};remaining=` };
    });
    this.#policy = plan.rules.map((rule) => policyOf(rule, prefix)).join(", ");
    this.#isNew = headers.includes("ratelimit");
    this.#isOld = headers.includes("x-ratelimit");
  }

  /**
   * Adds what is left after a decision.
   * @param charged units that were charged since
   * @param isJoined on one line each: where a list of headers is joined with another, the last line would win
   */
  addTo(headers: HeaderList, decision: Decision, charged: number, isJoined: boolean): void {
    const { limit, start, middle } = this.#rules[decision.rule]!;
    const isBanned = decision.outcome === "banned";
    const left = isBanned ? 0 : Math.min(limit, Math.max(0, decision.remaining - charged));
    const reset = seconds(isBanned ? decision.retryAfterMs : decision.resetMs);
    if (this.#isNew) {
      const member = `${start}${left};t=${reset}${middle}${left};reset=${reset}`;
      if (isJoined) {
        joinTo(headers, "ratelimit", member);
        joinTo(headers, "ratelimit-policy", this.#policy);
      } else headers.raw.push("ratelimit", member, "ratelimit-policy", this.#policy);
    }
    if (this.#isOld) setTightest(headers, limit, left, reset);
  }
}

function policyOf({ name, count, windowMs, burst, algorithm }: Rule, prefix: string): string {
  // Windows are told in whole seconds, or not at all.
  const window = windowMs % 1000 === 0 ? `;w=${windowMs / 1000}` : "";
  const hasBurst = burst !== count && (algorithm === "token-bucket" || algorithm === "hybrid");
  return `"${prefix}${name}";q=${count}${window}${hasBurst ? `;burst=${burst}` : ""}`;
}

function joinTo(headers: HeaderList, name: string, member: string): void {
  const present = headers.getJoined(name);
  headers.setChecked(name, present === undefined ? member : `${present}, ${member}`);
}

/** These are no lists: of several stages, and the upstream, the one that leaves least is told. */
function setTightest(headers: HeaderList, limit: number, left: number, reset: number): void {
  const present = headers.get("x-ratelimit-remaining");
  if (present !== undefined && /^\d+$/.test(present) && Number(present) <= left) return;
  headers.setChecked("x-ratelimit-limit", String(limit));
  headers.setChecked("x-ratelimit-remaining", String(left));
  headers.setChecked("x-ratelimit-reset", String(reset));
}
