/**
 * Has sessions renewed once for all gateways that share a store: one claims a session there and asks the provider, the
 * others wait for what came of it. It lies in the store sealed as cookies are, for requests that were on their way
 * meanwhile. While the store cannot be asked, each gateway renews by itself.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { GatewayError, type KeyValueStore, type Log } from "../../core/plugin.ts";
import { GRACE_MS, type Renewal } from "./refresher.ts";
import type { Seal } from "./seal.ts";

/** How much longer a claim holds than others wait for it: who has it must not be asked about the same twice. */
const CLAIM_MARGIN_MS = 10_000;
/** How long others take from the first that the provider cannot be asked. */
const AWAY_MS = 5000;
/** Between two looks into the store: the first time, and at most. */
const FIRST_LOOK_MS = 20;
const MOST_LOOK_MS = 200;

const CLAIM = "claimed by ";

export interface SharedRenewalsInit {
  readonly store: KeyValueStore;
  readonly seal: Seal;
  readonly log: Log;
  /** How long another gateway may take. */
  readonly waitMs: number;
}

export class SharedRenewals {
  readonly #init: SharedRenewalsInit;
  #isFailing = false;

  constructor(init: SharedRenewalsInit) {
    this.#init = init;
  }

  /** @param ask has the provider renew the session */
  async renew(key: string, ask: () => Promise<Renewal>): Promise<Renewal> {
    const { store, waitMs } = this.#init;
    const claim = CLAIM + randomUUID();
    const until = performance.now() + waitMs;
    for (let lookMs = FIRST_LOOK_MS; ; lookMs = Math.min(2 * lookMs, MOST_LOOK_MS)) {
      const ttlMs = waitMs + CLAIM_MARGIN_MS;
      const isOurs = await this.#try(() => store.set(key, claim, { ifAbsent: true, ttlMs }));
      if (isOurs !== false) return this.#lead(key, ask); // where the store did not answer, it may be ours
      const told = await this.#try(() => store.get(key));
      const renewal = told === undefined ? undefined : this.#read(key, told);
      if (renewal !== undefined) return renewal;
      if (performance.now() >= until) return "elsewhere";
      await delay(lookMs);
    }
  }

  async #lead(key: string, ask: () => Promise<Renewal>): Promise<Renewal> {
    const { store, seal } = this.#init;
    const renewal = await ask();
    const ttlMs = renewal === "unavailable" ? AWAY_MS : GRACE_MS;
    await this.#try(() => store.set(key, seal.seal(JSON.stringify(renewal), purposeOf(key)), { ttlMs }));
    return renewal;
  }

  /** What came of it; undefined while somebody has a claim, and for what no gateway with the same secret has left. */
  #read(key: string, told: string): Renewal | undefined {
    if (told.startsWith(CLAIM)) return undefined;
    const text = this.#init.seal.open(told, purposeOf(key));
    return text === undefined ? undefined : (JSON.parse(text) as Renewal);
  }

  /** @returns undefined when the store cannot be asked, or has nothing */
  async #try<T>(ask: () => Promise<T>): Promise<T | undefined> {
    const { log } = this.#init;
    try {
      const answer = await ask();
      if (this.#isFailing) log.info({}, "sessions are renewed once for all gateways again");
      this.#isFailing = false;
      return answer;
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      if (!this.#isFailing) {
        log.warn({ reason: error.code }, "each gateway renews sessions by itself while the store is away");
      }
      this.#isFailing = true;
      return undefined;
    }
  }
}

const purposeOf = (key: string): string => `renewal 1 ${key}`;
