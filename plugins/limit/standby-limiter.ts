/** Limits whose store may go away: what decides then. */
import { GatewayError, type Host, StoreHealth } from "../../core/plugin.ts";
import type { Ban, Decision, Limiter, Outcome, Plan, Reading } from "./limiter.ts";
import type { LimitOptions } from "./schema.ts";

export interface StandbyOptions {
  readonly onStoreError: LimitOptions["onStoreError"];
  /** Name of the store. */
  readonly store: string;
  readonly timeoutMs: number;
}

/** What the limiters of a stage have in common: how the store is, and how often they did without it. */
export interface Standby {
  readonly onStoreError: LimitOptions["onStoreError"];
  readonly health: StoreHealth;
  readonly stats: StandbyStats;
  readonly clock: Host["clock"];
  readonly log: Host["log"];
}

export class StandbyStats {
  /** Decisions that the store was to make, and did not. */
  failures = 0;
}

const WORDS = {
  away: "limits do without their store until it answers again: each does what its onStoreError says",
  back: "limits count in their store again",
};

/** Opens the standby of a stage, with metrics that tell of it. */
export function openStandby({ onStoreError, store, timeoutMs }: StandbyOptions, host: Host): Standby {
  const { route, stage, metrics, clock, log } = host;
  const health = host.keep(`limit health ${timeoutMs} ${store}`, () => new StoreHealth(store, WORDS));
  const stats = host.keep(`limit standby ${route} ${stage}`, () => new StandbyStats());
  const labels = { route, stage };
  metrics.collect(
    "sluice_limit_store_failures_total",
    "Decisions that a limit had to make without its store.",
    "counter",
    () => [[labels, stats.failures]],
  );
  metrics.collect(
    "sluice_limit_standby",
    "Whether a limit does without its store now.",
    "gauge",
    () => [[labels, health.isAway ? 1 : 0]],
    "max",
  );
  return { onStoreError, health, stats, clock, log };
}

/**
 * Decides as a limiter on the network does, and without it when its store fails. Nobody waits for a store that is
 * known to be away, save for single requests that find out whether it is back.
 * Charges go to where their decision was made. Looking, resetting and banning need the store: they fail with
 * STORE_UNAVAILABLE without it; resets and bans hold for `local` too.
 * @param local counts instead when `onStoreError` is `local`; not used otherwise
 */
export function createStandbyLimiter(
  primary: Limiter,
  local: Limiter | undefined,
  plan: Plan,
  standby: Standby,
): Limiter {
  const { count, burst } = plan.rules[0]!;
  return new StandbyLimiter(primary, local, Math.min(count, burst), standby);
}

const AWAY = new GatewayError("STORE_UNAVAILABLE", {
  headers: ["retry-after", "1"],
  cause: new Error("it was away a moment ago"),
});

class StandbyLimiter implements Limiter {
  readonly #primary: Limiter;
  readonly #local: Limiter | undefined;
  /** What somebody is told who is not counted. */
  readonly #units: number;
  readonly #standby: Standby;

  constructor(primary: Limiter, local: Limiter | undefined, units: number, standby: Standby) {
    this.#primary = primary;
    this.#local = local;
    this.#units = units;
    this.#standby = standby;
  }

  take(key: string, cost: number): Decision | Promise<Decision> {
    const { health, clock } = this.#standby;
    const now = clock.monotonic();
    if (!health.mayAsk(key, now)) return this.#without(key, cost, AWAY);
    const asked = this.#primary.take(key, cost);
    if (asked instanceof Promise) return this.#wait(asked, key, cost);
    health.notAsked(key, now);
    return asked;
  }

  async #wait(asked: Promise<Decision>, key: string, cost: number): Promise<Decision> {
    const { health, clock, log } = this.#standby;
    try {
      const decision = await asked;
      health.answered(key, clock.monotonic(), log);
      return decision;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      health.failed(key, clock.monotonic(), reasonOf(error), log);
      return this.#without(key, cost, error);
    }
  }

  #without(key: string, cost: number, error: GatewayError): Decision | Promise<Decision> {
    const { onStoreError, stats } = this.#standby;
    stats.failures++;
    if (onStoreError === "deny") return Promise.reject(error);
    if (onStoreError === "allow") return new Uncounted(this.#units, cost);
    const decision = this.#local!.take(key, cost);
    return decision instanceof Promise
      ? decision.then((late) => new LocalDecision(late))
      : new LocalDecision(decision);
  }

  settle(key: string, decision: Decision, by: number): void | Promise<void> {
    if (decision instanceof Uncounted) return;
    if (decision instanceof LocalDecision) return this.#local!.settle(key, decision.made, by);
    return this.#standby.health.isAway ? Promise.reject(AWAY) : this.#primary.settle(key, decision, by);
  }

  read(key: string): Reading | Promise<Reading> {
    return this.#primary.read(key);
  }

  async reset(key: string): Promise<void> {
    await this.#primary.reset(key);
    await this.#local?.reset(key);
  }

  async ban(key: string, forMs: number): Promise<void> {
    await this.#primary.ban(key, forMs);
    await this.#local?.ban(key, forMs);
  }

  bans(): readonly Ban[] | Promise<readonly Ban[]> {
    return this.#primary.bans();
  }
}

/** One that was made without the store. */
class LocalDecision implements Decision {
  readonly made: Decision;
  readonly outcome: Outcome;
  readonly rule: number;
  readonly remaining: number;
  readonly resetMs: number;
  readonly retryAfterMs: number;
  readonly cost: number;
  readonly beginsBan: boolean;
  readonly at: number;

  constructor(made: Decision) {
    this.made = made;
    this.outcome = made.outcome;
    this.rule = made.rule;
    this.remaining = made.remaining;
    this.resetMs = made.resetMs;
    this.retryAfterMs = made.retryAfterMs;
    this.cost = made.cost;
    this.beginsBan = made.beginsBan;
    this.at = made.at;
  }
}

/** Nobody counts. */
class Uncounted implements Decision {
  readonly outcome = "allowed";
  readonly rule = 0;
  readonly remaining: number;
  readonly resetMs = 0;
  readonly retryAfterMs = 0;
  readonly cost: number;
  readonly beginsBan = false;
  readonly at = 0;

  constructor(remaining: number, cost: number) {
    this.remaining = remaining;
    this.cost = cost;
  }
}

function isUnavailable(error: unknown): error is GatewayError {
  return error instanceof GatewayError && error.code === "STORE_UNAVAILABLE";
}

function reasonOf({ cause, message }: GatewayError): string {
  return cause instanceof Error ? cause.message : message;
}
