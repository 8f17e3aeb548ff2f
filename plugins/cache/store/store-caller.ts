/** Asks a store that may be away: nobody waits for it then, and nothing here ever fails. */
import { type Clock, GatewayError, type Log, type StoreHealth } from "../../../core/plugin.ts";

/** `refused` by a store that answers, but is full or has something else; `away` was not asked. */
export type NoAnswer = "away" | "refused" | "unavailable";

export type Answer<T> = { readonly value: T } | NoAnswer;

export class StoreCaller {
  readonly #health: StoreHealth;
  readonly #clock: Clock;
  readonly #log: Log;

  constructor({ health, clock, log }: { health: StoreHealth; clock: Clock; log: Log }) {
    this.#health = health;
    this.#clock = clock;
    this.#log = log;
  }

  /** @param name of the key that it is about */
  async ask<T>(name: string, call: () => Promise<T>): Promise<Answer<T>> {
    const health = this.#health;
    const clock = this.#clock;
    if (!health.mayAsk(name, clock.monotonic())) return "away";
    try {
      const value = await call();
      health.answered(name, clock.monotonic(), this.#log);
      return { value };
    } catch (error) {
      const reason = reasonOf(error);
      // A store that is full gives what it has.
      if (/\bOOM\b/.test(reason) || (error instanceof GatewayError && error.code === "STORE_VALUE_INVALID")) {
        health.answered(name, clock.monotonic(), this.#log);
        return "refused";
      }
      health.failed(name, clock.monotonic(), reason, this.#log);
      return "unavailable";
    }
  }
}

function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
