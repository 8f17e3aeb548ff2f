/**
 * Counts in Redis, exactly: each decision is one call, and no clock but Redis's is asked. All keys of a decision lie in
 * one slot of a cluster. What a banned key gets is remembered for a second, so that its requests do not become Redis's.
 */
import { createHash } from "node:crypto";
import { createStoreScript, type KeyValueStore } from "../../core/plugin.ts";
import { KnownBans } from "./known-bans.ts";
import type { Ban, Decision, Limiter, Plan, Reading, Rule } from "./limiter.ts";
import { LIMIT_SCRIPT } from "./redis-script.ts";

export interface RedisLimiterOptions {
  /** How long Redis may take for a call. */
  readonly timeoutMs: number;
  /** Whole milliseconds since 1970 that hold instead of Redis's: for tests. */
  readonly now?: () => number;
}

type Verb = "take" | "settle" | "read" | "reset" | "ban";
type Args = readonly (string | number)[];

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

export function createRedisLimiter(
  scope: string,
  plan: Plan,
  store: KeyValueStore,
  options: RedisLimiterOptions,
): Limiter {
  return new RedisLimiter(scope, plan, store, options);
}

class RedisLimiter implements Limiter {
  readonly #store: KeyValueStore;
  readonly #options: RedisLimiterOptions;
  readonly #scope: string;
  /** Endings of the keys of a decision. */
  readonly #endings: readonly string[];
  /** What the script is told of the plan. */
  readonly #plan: Args;
  readonly #bans: KnownBans;

  constructor(scope: string, plan: Plan, store: KeyValueStore, options: RedisLimiterOptions) {
    this.#store = store;
    this.#options = options;
    this.#scope = plain(scope);
    const { endings, args } = describePlan(plan);
    this.#endings = endings;
    this.#plan = args;
    this.#bans = new KnownBans(options.now ?? (() => performance.now()));
  }

  take(key: string, cost: number): Decision | Promise<Decision> {
    return this.#bans.find(key) ?? this.#ask(key, cost);
  }

  async #ask(key: string, cost: number): Promise<Decision> {
    const answer = (await this.#run("take", key, cost)) as [Decision["outcome"], ...number[]];
    const [outcome, rule = 0, remaining = 0, resetMs = 0, retryAfterMs = 0, at = 0, bannedMs = 0] = answer;
    const isAllowed = outcome === "allowed";
    const decision = {
      outcome,
      rule,
      remaining,
      resetMs,
      retryAfterMs,
      cost: isAllowed ? cost : 0,
      beginsBan: bannedMs > 0,
      at,
    };
    if (outcome === "banned") this.#bans.add(key, decision);
    if (bannedMs > 0) this.#noteBan(key, at + bannedMs, at).catch(() => {}); // counted as a failure of the store
    return decision;
  }

  async settle(key: string, decision: Decision, by: number): Promise<void> {
    if (by !== 0) await this.#run("settle", key, by, decision.at);
  }

  async read(key: string): Promise<Reading> {
    const [bannedForMs = 0, ...numbers] = (await this.#run("read", key, 0)) as number[];
    const rules = [];
    for (let i = 0; i < numbers.length; i += 2) {
      rules.push({ remaining: numbers[i]!, resetMs: numbers[i + 1]! });
    }
    return { rules, bannedForMs };
  }

  async reset(key: string): Promise<void> {
    this.#bans.delete(key);
    await this.#noteBan(key, 0, (await this.#run("reset", key, 0)) as number);
  }

  async ban(key: string, forMs: number): Promise<void> {
    this.#bans.delete(key);
    const at = (await this.#run("ban", key, forMs)) as number;
    await this.#noteBan(key, forMs === 0 ? 0 : at + forMs, at);
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

  /** In a cluster it lies somewhere else than the ban: that holds even if this fails. */
  #noteBan(key: string, until: number, now: number): Promise<unknown> {
    const args = [key, until, now, MOST_BANS];
    return this.#store.run(NOTE_BAN, [this.#index], args, this.#options.timeoutMs);
  }

  get #index(): string {
    return `limit:bans:${this.#scope}`;
  }

  #run(verb: Verb, key: string, amount: number, at = 0): Promise<unknown> {
    const begin = `limit:{${this.#scope}|${plain(key)}}`;
    const keys: string[] = [];
    for (const ending of this.#endings) keys.push(begin + ending);
    const args = [verb, this.#options.now?.() ?? "", amount, at, ...this.#plan];
    return this.#store.run(LIMIT_SCRIPT, keys, args, this.#options.timeoutMs);
  }
}

/** A text as it stands in a key of Redis: others than plain ones as a digest, which no plain one looks like. */
function plain(text: string): string {
  return IS_PLAIN.test(text) ? text : `#${createHash("sha256").update(text).digest("base64url")}`;
}

/** A rule's counts are its own as long as its algorithm and its window stay, and its place among those with the same. */
function describePlan({ rules, ban, countRejected }: Plan): { endings: string[]; args: Args } {
  const endings = ["b", "r"];
  const args = [countRejected ? 1 : 0, ban?.after ?? 0, ban?.withinMs ?? 0, ban?.forMs ?? 0];
  const parts: (string | number)[] = [];
  for (const [index, rule] of rules.entries()) {
    const common = gcd(rule.count, rule.windowMs);
    for (const [kind, letter, most] of PARTS[rule.algorithm]) {
      const ending = `${letter}${rule.windowMs}`;
      const same = endings.filter((other) => other.split("/")[0] === ending).length;
      endings.push(same === 0 ? ending : `${ending}/${same}`);
      const ticks = [rule.windowMs / common, rule.count / common];
      parts.push(index, kind, rule[most], rule.windowMs, ...ticks);
    }
  }
  return { endings, args: [...args, ...parts].map(String) };
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
