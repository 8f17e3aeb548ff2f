/** One stage at work: asks a limiter for each request, and tells what it said. */
import {
  type AuditRecorder,
  type Exchange,
  GatewayError,
  type Handler,
  HeaderList,
  type Reply,
} from "../../core/plugin.ts";
import { retryAfterSeconds } from "../../core/retry-after.ts";
import type { Charge } from "./cost.ts";
import type { Decision, Limiter } from "./limiter.ts";
import type { ReplyFields } from "./reply-fields.ts";
import type { LimitStats, RuleStats } from "./stats.ts";
import type { TopKeys } from "./top-keys.ts";

/** What holds for the requests of one tier. */
export interface Tier {
  readonly limiter: Limiter;
  /** Undefined when replies tell nothing. */
  readonly fields: ReplyFields | undefined;
  /** By rule. */
  readonly rules: readonly RuleStats[];
}

export interface GateOptions {
  isDenied: ((x: Exchange) => boolean) | undefined;
  isAllowed: ((x: Exchange) => boolean) | undefined;
  tierOf(x: Exchange): Tier;
  keyOf(x: Exchange): string;
  costOf(x: Exchange): number;
  readonly charge: Charge | undefined;
  /** Refuses nobody. */
  readonly isReport: boolean;
  readonly stats: LimitStats;
  readonly topKeys: TopKeys;
  /** Takes the bans that begin. */
  readonly bans: AuditRecorder | undefined;
}

/** Why a request would have been refused. */
type Mark = "limited" | "banned" | "denied" | "unavailable";

const MARK = "x-ratelimit-report";

export class Gate {
  readonly #options: GateOptions;
  readonly #stats: LimitStats;
  readonly #topKeys: TopKeys;
  readonly #countUnsettled: () => void;

  constructor(options: GateOptions) {
    const { stats, topKeys } = options;
    this.#options = options;
    this.#stats = stats;
    this.#topKeys = topKeys;
    this.#countUnsettled = () => void stats.unsettled++;
  }

  handle(x: Exchange, next: Handler): Reply | Promise<Reply> {
    if (x.aborted !== undefined) throw x.aborted;
    const { isDenied, isAllowed, charge } = this.#options;
    if (isDenied?.(x)) {
      if (!this.#options.isReport) {
        this.#stats.denied++;
        throw DENIED;
      }
      this.#stats.reported++;
      return this.#answerReported(x, next, "denied", undefined, undefined);
    }
    if (isAllowed?.(x)) {
      this.#stats.bypassed++;
      return charge === undefined ? next(x) : this.#answerFree(x, next, charge);
    }
    const tier = this.#options.tierOf(x);
    const key = this.#options.keyOf(x);
    const decision = tier.limiter.take(key, this.#options.costOf(x));
    if (decision instanceof Promise) return this.#wait(x, next, tier, key, decision);
    return this.#act(x, next, tier, key, decision);
  }

  async #wait(x: Exchange, next: Handler, tier: Tier, key: string, asked: Promise<Decision>): Promise<Reply> {
    let decision: Decision;
    try {
      decision = await asked;
    } catch (error) {
      if (!this.#options.isReport || !isUnavailable(error)) throw error;
      this.#stats.reported++;
      return this.#answerReported(x, next, "unavailable", undefined, undefined);
    }
    if (x.aborted !== undefined) {
      const { charge } = this.#options;
      if (decision.outcome === "allowed" && charge !== undefined)
        this.#settle(tier, key, decision, charge.ofFailure(x.aborted));
      throw x.aborted;
    }
    return this.#act(x, next, tier, key, decision);
  }

  #act(x: Exchange, next: Handler, tier: Tier, key: string, decision: Decision): Reply | Promise<Reply> {
    const { outcome } = decision;
    if (outcome === "allowed") {
      this.#stats.allowed++;
      this.#topKeys.addAllowed(key);
      const isPlain = tier.fields === undefined && this.#options.charge === undefined;
      return isPlain ? next(x) : this.#answer(x, next, tier, key, decision);
    }
    this.#topKeys.addRefused(key);
    if (decision.beginsBan) this.#stats.bans++;
    if (outcome === "limited") tier.rules[decision.rule]!.refused++;
    if (this.#options.isReport) {
      this.#stats.reported++;
      return this.#answerReported(x, next, outcome, tier.fields, decision);
    }
    this.#stats[outcome]++;
    if (decision.beginsBan) this.#options.bans?.record(x);
    tier.fields?.addTo((x.failureHeaders ??= new HeaderList()), decision, 0, true);
    throw refusal(outcome, decision.retryAfterMs);
  }

  async #answer(x: Exchange, next: Handler, tier: Tier, key: string, decision: Decision): Promise<Reply> {
    const { charge } = this.#options;
    let reply: Reply;
    try {
      reply = await next(x);
    } catch (error) {
      const by = charge === undefined ? 0 : this.#settle(tier, key, decision, charge.ofFailure(error));
      tier.fields?.addTo((x.failureHeaders ??= new HeaderList()), decision, by, true);
      throw error;
    }
    const { headers } = reply;
    const by =
      charge === undefined ? 0 : this.#settle(tier, key, decision, charge.ofReply(reply.status, headers));
    tier.fields?.addTo(headers, decision, by, false);
    return reply;
  }

  /** @returns what is charged beside what was taken, less than 0 for what is given back */
  #settle(tier: Tier, key: string, decision: Decision, cost: number | undefined): number {
    if (cost === undefined || cost === decision.cost) return 0;
    const by = cost - decision.cost;
    const settled = tier.limiter.settle(key, decision, by);
    // The reply does not wait for the store, and is not lost with it.
    if (settled instanceof Promise) settled.catch(this.#countUnsettled);
    return by;
  }

  async #answerReported(
    x: Exchange,
    next: Handler,
    mark: Mark,
    fields: ReplyFields | undefined,
    decision: Decision | undefined,
  ): Promise<Reply> {
    const { charge } = this.#options;
    let reply: Reply;
    try {
      reply = await next(x);
    } catch (error) {
      const headers = (x.failureHeaders ??= new HeaderList());
      headers.addMember(MARK, mark);
      if (decision !== undefined) fields?.addTo(headers, decision, 0, true);
      throw error;
    }
    charge?.ofReply(reply.status, reply.headers);
    reply.headers.addMember(MARK, mark);
    if (decision !== undefined) fields?.addTo(reply.headers, decision, 0, false);
    return reply;
  }

  /** What says the cost is taken off all the same. */
  async #answerFree(x: Exchange, next: Handler, charge: Charge): Promise<Reply> {
    const reply = await next(x);
    charge.ofReply(reply.status, reply.headers);
    return reply;
  }
}

const DENIED = new GatewayError("CLIENT_DENIED");

const CODES = { limited: "RATE_LIMITED", banned: "CLIENT_BANNED" } as const;
/** Refusals of less than so many seconds are made once each. */
const REPEATED_SECONDS = 64;
const repeated: Record<keyof typeof CODES, GatewayError[]> = { limited: [], banned: [] };

function refusal(outcome: keyof typeof CODES, retryAfterMs: number): GatewayError {
  const seconds = retryAfterSeconds(retryAfterMs);
  const known = repeated[outcome][seconds];
  if (known !== undefined) return known;
  const error = new GatewayError(CODES[outcome], { headers: ["retry-after", String(seconds)] });
  if (seconds < REPEATED_SECONDS) repeated[outcome][seconds] = error;
  return error;
}

function isUnavailable(error: unknown): boolean {
  return error instanceof GatewayError && error.code === "STORE_UNAVAILABLE";
}
