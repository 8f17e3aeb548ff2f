/** What limiters ask of Redis. All keys of a decision lie in one slot of a cluster. */
import { createHash } from "node:crypto";
import { createStoreScript, type KeyValueStore } from "../../core/plugin.ts";
import type { Ban, Decision, Plan, Reading, Rule } from "./limiter.ts";
import { readDecision, readNumbers } from "./redis-answers.ts";
import { LIMIT_SCRIPT } from "./redis-script.ts";
import { ticksOf } from "./rule-arithmetic.ts";

export interface RedisLimiterOptions {
  /** How long Redis may take for a call. */
  readonly timeoutMs: number;
  /** Whole milliseconds since 1970 that hold instead of Redis's: for tests. */
  readonly now?: () => number;
}

type Verb = "take" | "ahead" | "settle" | "return" | "refuse" | "read" | "reset" | "ban";
type Args = readonly (string | number)[];

/** A decision, and what comes with it. */
export interface Answer {
  readonly decision: Decision;
  /** Units that were lent beside what the request cost... */
  readonly lent: number;
  /** ...for so many milliseconds from when Redis was asked. */
  readonly lentMs: number;
}

/** Parts of a rule: the kind, the letter in the key, and the most units. */
const PARTS: Record<Rule["algorithm"], readonly (readonly [string, string, "count" | "burst"])[]> = {
  "token-bucket": [["bucket", "t", "burst"]],
  "fixed-window": [["fixed", "f", "count"]],
  "sliding-window-log": [["log", "l", "count"]],
  "sliding-window-counter": [["counter", "c", "count"]],
  hybrid: [
    ["bucket", "h", "burst"],
    ["counter", "i", "count"],
  ],
};

/** Texts that stand in a key of Redis as they are. */
const IS_PLAIN = /^[\w.:@/-]{1,100}$/;

const MOST_BANS = 500;

/** Keeps the bans with most time left. KEYS: the index. ARGV: the key, until when or 0, the time, the most. */
const NOTE_BAN = createStoreScript(`
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
if ARGV[2] == '0' then return end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[4])
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', last[2] - ARGV[3] + 1000))`);

const LIST_BANS = createStoreScript(`
local time = ARGV[1] == '' and redis.call('TIME')
local now = time and time[1] * 1000 + math.floor(time[2] / 1000) or tonumber(ARGV[1])
local bans = {}
for i, item in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, -1, 'WITHSCORES')) do
  bans[i] = i % 2 == 1 and item or tonumber(item) - now
end
return bans`);

export class RedisCalls {
  readonly #store: KeyValueStore;
  readonly #options: RedisLimiterOptions;
  readonly #scope: string;
  /** Endings of the keys of a decision. */
  readonly #endings: readonly string[];
  /** What the script is told of the plan. */
  readonly #plan: Args;
  readonly #rules: number;

  /** @param leaseMs how long units are lent, the same for all who count the same keys; 0 where they are not */
  constructor(
    scope: string,
    plan: Plan,
    store: KeyValueStore,
    options: RedisLimiterOptions,
    leaseMs: number,
  ) {
    this.#store = store;
    this.#options = options;
    this.#scope = plain(scope);
    const { endings, args } = describePlan(plan, leaseMs);
    this.#endings = endings;
    this.#plan = args;
    this.#rules = plan.rules.length;
  }

  /**
   * Takes what a request costs, or nothing.
   * @param more units that are lent as far as they are there
   * @param ahead further units that are lent: at most half of what is left then
   */
  async take(key: string, cost: number, more = 0, ahead = 0): Promise<Answer> {
    return this.#toAnswer(key, cost, await this.#run("take", key, cost, 0, more, ahead));
  }

  /** Borrows units, though no request asks for them yet. */
  async borrow(key: string, ahead: number): Promise<Answer> {
    return this.#toAnswer(key, 0, await this.#run("ahead", key, 0, 0, 0, ahead));
  }

  /** @param at when they were taken */
  async settle(key: string, by: number, at: number): Promise<void> {
    await this.#run("settle", key, by, at);
  }

  /** Gives back units that were lent at a time and not used. */
  async giveBack(key: string, units: number, at: number): Promise<void> {
    await this.#run("return", key, units, at);
  }

  /** Tells of requests that were refused without asking. Gives for how long they are banned by that, or 0. */
  async refuse(key: string, times: number): Promise<number> {
    const [at, bannedMs] = readNumbers(await this.#run("refuse", key, times), 2) as [number, number];
    if (bannedMs > 0) this.#noteBanInTime(key, at, bannedMs);
    return bannedMs;
  }

  async read(key: string): Promise<Reading> {
    const answer = readNumbers(await this.#run("read", key, 0), 1 + 2 * this.#rules);
    const [bannedForMs = 0, ...numbers] = answer;
    const rules = [];
    for (let i = 0; i < numbers.length; i += 2) {
      rules.push({ remaining: numbers[i]!, resetMs: numbers[i + 1]! });
    }
    return { rules, bannedForMs };
  }

  async reset(key: string): Promise<void> {
    await this.#noteBan(key, (await this.#run("reset", key, 0)) as number, 0);
  }

  async ban(key: string, forMs: number): Promise<void> {
    await this.#noteBan(key, (await this.#run("ban", key, forMs)) as number, forMs);
  }

  async bans(): Promise<readonly Ban[]> {
    const args = [this.#options.now?.() ?? ""];
    const items = (await this.#store.run(LIST_BANS, [this.#index], args, this.#options.timeoutMs)) as (
      | string
      | number
    )[];
    const bans: Ban[] = [];
    for (let i = 0; i < items.length; i += 2) {
      const forMs = Number(items[i + 1]);
      if (forMs > 0) bans.push({ key: String(items[i]), forMs });
    }
    return bans;
  }

  #toAnswer(key: string, cost: number, reply: unknown): Answer {
    const answer = readDecision(reply, this.#rules);
    const [outcome, rule, remaining, resetMs, retryAfterMs, at, bannedMs, lent = 0, lentMs = 0] = answer;
    if (bannedMs > 0) this.#noteBanInTime(key, at, bannedMs);
    const taken = outcome === "allowed" ? cost : 0;
    const beginsBan = bannedMs > 0;
    return {
      decision: { outcome, rule, remaining, resetMs, retryAfterMs, cost: taken, beginsBan, at },
      lent,
      lentMs,
    };
  }

  /** Nobody waits for it. That it fails is counted by the store, and the ban holds all the same. */
  #noteBanInTime(key: string, at: number, forMs: number): void {
    this.#noteBan(key, at, forMs).catch(() => {});
  }

  /** In a cluster the list of bans lies somewhere else than the ban. */
  #noteBan(key: string, at: number, forMs: number): Promise<unknown> {
    const args = [key, forMs === 0 ? 0 : at + forMs, at, MOST_BANS];
    return this.#store.run(NOTE_BAN, [this.#index], args, this.#options.timeoutMs);
  }

  get #index(): string {
    return `limit:bans:${this.#scope}`;
  }

  #run(verb: Verb, key: string, amount: number, at = 0, more = 0, ahead = 0): Promise<unknown> {
    const begin = `limit:{${this.#scope}|${plain(key)}}`;
    const keys: string[] = [];
    for (const ending of this.#endings) keys.push(begin + ending);
    const args = [verb, this.#options.now?.() ?? "", amount, at, more, ahead, ...this.#plan];
    return this.#store.run(LIMIT_SCRIPT, keys, args, this.#options.timeoutMs);
  }
}

/** A text as it stands in a key of Redis: others than plain ones as a digest, which no plain one looks like. */
function plain(text: string): string {
  return IS_PLAIN.test(text) ? text : `#${createHash("sha256").update(text).digest("base64url")}`;
}

/** A rule's counts are its own as long as its algorithm and its window stay, and its place among those with the same. */
function describePlan(
  { rules, ban, countRejected }: Plan,
  leaseMs: number,
): { endings: string[]; args: Args } {
  const endings = ["b", "r"];
  const args = [leaseMs, countRejected ? 1 : 0, ban?.after ?? 0, ban?.withinMs ?? 0, ban?.forMs ?? 0];
  const parts: (string | number)[] = [];
  for (const [index, rule] of rules.entries()) {
    const { unit, gain } = ticksOf(rule);
    for (const [kind, letter, most] of PARTS[rule.algorithm]) {
      const ending = `${letter}${rule.windowMs}`;
      const same = endings.filter((other) => other.split("/")[0] === ending).length;
      endings.push(same === 0 ? ending : `${ending}/${same}`);
      const units = kind === "bucket" ? leasedBurst(rule, leaseMs) : rule[most];
      parts.push(index, kind, units, rule.windowMs, unit, gain);
    }
  }
  return { endings, args: [...args, ...parts].map(String) };
}

/** Units that a bucket holds. What is lent may be used so much later: it holds less by what it gains meanwhile. */
export function leasedBurst({ burst, count, windowMs }: Rule, leaseMs: number): number {
  return burst - Math.ceil((count * leaseMs) / windowMs);
}
