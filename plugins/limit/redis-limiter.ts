/**
 * Counts in Redis, exactly: each decision is one call, and no clock but Redis's is asked. What a banned key gets is
 * remembered for a second, so that its requests do not become Redis's.
 */
import type { KeyValueStore } from "../../core/plugin.ts";
import { KnownBans } from "./known-bans.ts";
import type { Ban, Decision, Limiter, Plan, Reading } from "./limiter.ts";
import { RedisCalls, type RedisLimiterOptions } from "./redis-calls.ts";

export type { RedisLimiterOptions } from "./redis-calls.ts";

/** @param store one that runs scripts */
export function createRedisLimiter(
  scope: string,
  plan: Plan,
  store: KeyValueStore,
  options: RedisLimiterOptions,
): Limiter {
  return new RedisLimiter(scope, plan, store, options);
}

class RedisLimiter implements Limiter {
  readonly #calls: RedisCalls;
  readonly #bans: KnownBans;

  constructor(scope: string, plan: Plan, store: KeyValueStore, options: RedisLimiterOptions) {
    this.#calls = new RedisCalls(scope, plan, store, options, 0);
    this.#bans = new KnownBans(options.now ?? (() => performance.now()));
  }

  take(key: string, cost: number): Decision | Promise<Decision> {
    return this.#bans.find(key) ?? this.#ask(key, cost);
  }

  async #ask(key: string, cost: number): Promise<Decision> {
    const { decision } = await this.#calls.take(key, cost);
    if (decision.outcome === "banned") this.#bans.add(key, decision);
    return decision;
  }

  async settle(key: string, { at }: Decision, by: number): Promise<void> {
    if (by !== 0) await this.#calls.settle(key, by, at);
  }

  read(key: string): Promise<Reading> {
    return this.#calls.read(key);
  }

  reset(key: string): Promise<void> {
    this.#bans.delete(key);
    return this.#calls.reset(key);
  }

  ban(key: string, forMs: number): Promise<void> {
    this.#bans.delete(key);
    return this.#calls.ban(key, forMs);
  }

  bans(): Promise<readonly Ban[]> {
    return this.#calls.bans();
  }
}
