/**
 * Counts in memory that all threads of the gateway see: never more than the limit passes, whichever threads ask at
 * the same time. Where there is no room for a key, each thread allows its share of the limit by itself.
 *
 * A limiter looks at one key at a time: its parts remember which.
 */
import { hash } from "node:crypto";
import { ConfigError, type Host } from "../../core/plugin.ts";
import { shareOf } from "../../core/threads/share.ts";
import type { Decision, Limiter, Outcome, Plan, Rule } from "./limiter.ts";
import { sharePlan } from "./share-plan.ts";
import { Bans, MOST_REFUSALS } from "./memory/bans.ts";
import { bucketProblem } from "./memory/bucket.ts";
import { CellCounter, Rates } from "./memory/cell-counter.ts";
import type { Counter } from "./memory/counter.ts";
import { LogCounter, LONGEST_LOG_MS, MOST_LOGGED } from "./memory/log-counter.ts";
import { OwnCells } from "./memory/own-cells.ts";
import { MOST_COUNTED } from "./memory/windows.ts";

export type LimiterHost = Pick<Host, "shared" | "clock" | "keep" | "log">;

/** Keys that a thread counts by itself when there is no room, and cells of those that have logs. */
const OWN_KEYS = 4096;
const OWN_LOGS = 1024;

/** What a thread keeps of a scope over reloads. */
class Kept {
  readonly names = new Map<string, number>();
  readonly #rates = new Map<string, Rates>();
  #own: { readonly cells: OwnCells; readonly logs: OwnCells } | undefined;

  rates(prefix: string): Rates {
    let rates = this.#rates.get(prefix);
    if (rates === undefined) this.#rates.set(prefix, (rates = new Rates()));
    return rates;
  }

  /** Cells of this thread alone. */
  own(log: Host["log"]) {
    if (this.#own === undefined) {
      log.warn({}, "no room to count over all threads: until there is, each allows its share of the limit");
      this.#own = { cells: new OwnCells(OWN_KEYS, 4), logs: new OwnCells(OWN_LOGS, 60) };
    }
    return this.#own;
  }
}

/**
 * @param scope whose counts they are, a short text
 * @throws ConfigError when a rule cannot be counted exactly
 */
export function createMemoryLimiter(scope: string, plan: Plan, host: LimiterHost) {
  const problems = [...plan.rules.map(problemOf), banProblem(plan)].filter((each) => each !== undefined);
  if (problems.length > 0) throw new ConfigError(problems);
  return new MemoryLimiter(scope, plan, host);
}

class MemoryLimiter implements Limiter {
  readonly #scope: string;
  readonly #plan: Plan;
  readonly #host: LimiterHost;
  readonly #kept: Kept;
  readonly #bans: Bans;
  readonly #shared: readonly Counter[];
  /** Those of this thread alone, once there was no room. */
  #own: readonly Counter[] | undefined;

  constructor(scope: string, plan: Plan, host: LimiterHost) {
    this.#scope = scope;
    this.#plan = plan;
    this.#host = host;
    this.#kept = host.keep(`limit ${scope}`, () => new Kept());
    this.#bans = new Bans(scope, plan.ban, host, this.#kept.names);
    this.#shared = this.#createCounters(plan.rules, host.shared.limits, host.shared.logs, "");
  }

  take(key: string, cost: number): Decision {
    const now = this.#now();
    const bannedMs = this.#bans.leftMs(key, now);
    if (bannedMs > 0) return decide("banned", 0, 0, bannedMs, bannedMs, 0, false, now);
    const counters = this.#locate(key, now);
    const { length } = counters;
    for (let i = 0; i < length; i++) {
      if (!counters[i]!.take(cost, now)) return this.#refuse(counters, i, key, cost, now);
    }
    let rule = 0;
    for (let i = 1; i < length; i++) {
      if (leftOf(counters[i]!) < leftOf(counters[rule]!)) rule = i;
    }
    const { remaining, resetMs } = counters[rule]!;
    return decide("allowed", rule, remaining, resetMs, 0, cost, false, now);
  }

  settle(key: string, { at }: Decision, by: number): void {
    const now = this.#now();
    const counters = this.#locate(key, now);
    for (const counter of counters) {
      if (by > 0) counter.charge(by, now);
      else if (by < 0) counter.giveBack(-by, at, now);
    }
  }

  read(key: string) {
    const now = this.#now();
    const rules = this.#shared.map((counter) => {
      counter.read(key, now);
      return { remaining: counter.remaining, resetMs: counter.resetMs };
    });
    return { rules, bannedForMs: this.#bans.leftMs(key, now) };
  }

  reset(key: string): void {
    const now = this.#now();
    for (const counter of this.#shared) counter.forget(key, now);
    for (const counter of this.#own ?? []) counter.forget(key, now);
    this.#bans.ban(key, 0, now);
  }

  ban(key: string, forMs: number): void {
    this.#bans.ban(key, forMs, this.#now());
  }

  bans() {
    return this.#bans.list(this.#now());
  }

  #now(): number {
    return Math.floor(this.#host.clock.monotonic());
  }

  #refuse(counters: readonly Counter[], rule: number, key: string, cost: number, now: number): Decision {
    for (let i = 0; i < rule; i++) counters[i]!.giveBack(cost, now, now);
    for (let i = rule + 1; i < counters.length; i++) counters[i]!.look(now);
    if (this.#plan.countRejected) for (const counter of counters) counter.takeRest(cost, now);
    const banMs = this.#bans.refuse(key, now);
    let waitMs = 1;
    let neverMs = 0;
    for (const [i, counter] of counters.entries()) {
      if (cost > counter.capacity) neverMs = Math.max(neverMs, this.#plan.rules[i]!.windowMs);
      else waitMs = Math.max(waitMs, counter.waitFor(cost));
    }
    const { remaining, resetMs } = counters[rule]!;
    return decide("limited", rule, remaining, resetMs, Math.max(banMs, neverMs || waitMs), 0, banMs > 0, now);
  }

  /** Finds the key in all counters: those of all threads, or else those of this one. */
  #locate(key: string, now: number): readonly Counter[] {
    const shared = this.#shared;
    for (let i = 0; i < shared.length; i++) {
      if (!shared[i]!.locate(key, now)) return this.#locateOwn(key, now);
    }
    return shared;
  }

  #locateOwn(key: string, now: number): readonly Counter[] {
    const own = (this.#own ??= this.#createOwn());
    for (const counter of own) counter.locate(key, now);
    return own;
  }

  #createOwn(): readonly Counter[] {
    const { log, shared } = this.#host;
    const { cells, logs } = this.#kept.own(log);
    const rounded = sharePlan(this.#plan, 1 / shared.threads).rules;
    const rules = this.#plan.rules.map((rule, i) => {
      const { count, burst } = rule;
      const part = { ...rule, count: shareOf(count, shared), burst: shareOf(burst, shared) };
      return messageOf(part) === undefined ? part : rounded[i]!;
    });
    return this.#createCounters(rules, cells, logs, "own ");
  }

  #createCounters(
    rules: readonly Rule[],
    cells: Host["shared"]["limits"],
    logs: Host["shared"]["logs"],
    whose: string,
  ): readonly Counter[] {
    const names = rules.map(({ algorithm, windowMs }) => `${algorithm} ${windowMs}`);
    return rules.map((rule, i) => {
      // What makes it the same rule after a reload, and in another tier: not its place, and not its rate.
      const nth = names.slice(0, i).filter((name) => name === names[i]).length;
      const prefix = `${digestOf(`${this.#scope}\0${names[i]} ${nth}`)}\0`;
      if (rule.algorithm === "sliding-window-log") return new LogCounter(rule, prefix, logs, whose === "");
      const { utcOffsetMs } = this.#host.shared;
      return new CellCounter(rule, prefix, cells, utcOffsetMs, this.#kept.rates(whose + prefix));
    });
  }
}

/** Short, because it is hashed anew with each key. */
function digestOf(text: string): string {
  return hash("sha256", text, "base64url").slice(0, 12);
}

const leftOf = ({ remaining, capacity }: Counter): number => remaining / capacity;

/** One shape for all of them. */
function decide(
  outcome: Outcome,
  rule: number,
  remaining: number,
  resetMs: number,
  retryAfterMs: number,
  cost: number,
  beginsBan: boolean,
  at: number,
): Decision {
  return { outcome, rule, remaining, resetMs, retryAfterMs, cost, beginsBan, at };
}

function problemOf(rule: Rule) {
  const message = messageOf(rule);
  if (message === undefined) return undefined;
  return { code: "CONFIG_VALUE", message: `rule "${rule.name}": ${message}`, pointer: "/rate" };
}

function messageOf(rule: Rule): string | undefined {
  const { algorithm, count, windowMs } = rule;
  if (algorithm === "token-bucket") return bucketProblem(rule);
  if (algorithm === "sliding-window-log") {
    if (count > MOST_LOGGED) return `a log counts up to ${MOST_LOGGED}: take sliding-window-counter for more`;
    if (windowMs > LONGEST_LOG_MS) return "a log is of 20 days at most: take sliding-window-counter for more";
    return undefined;
  }
  if (count > MOST_COUNTED) return `a window counts up to ${MOST_COUNTED}: take token-bucket for more`;
  return algorithm === "hybrid" ? bucketProblem(rule) : undefined;
}

function banProblem({ ban }: Plan) {
  if (ban === undefined || ban.after <= MOST_REFUSALS) return undefined;
  return { code: "CONFIG_VALUE", message: `\`after\` is at most ${MOST_REFUSALS}`, pointer: "/ban/after" };
}
