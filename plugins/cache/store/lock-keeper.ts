/** Ends and renews the locks of turns in Redis. */
import type { KeyValueStore } from "../../../core/plugin.ts";
import { ABANDON, RENEW } from "./scripts.ts";
import type { StoreCaller } from "./store-caller.ts";
import { DIGEST_LENGTH } from "./store-keys.ts";
import { type StoreTurn, type TurnKeeper, Turns } from "./turns.ts";

/** How long the lock of somebody lasts who is gone; whoever is there renews it in time. */
export const LOCK_MS = 1250;
const RENEW_EVERY_MS = LOCK_MS / 5;

/** Somebody who waits looks after such times, twice as long each, though nothing was told. */
const LOOK_AFTER_MS = 50;
const LOOK_AFTER_MOST_MS = 250;

/** How long to wait for a note before the next look. @param looks how often that was done */
export function untilNextLookMs(looks: number, leftMs: number, firstMs = LOOK_AFTER_MS): number {
  return Math.min(firstMs * 2 ** looks, Math.max(firstMs, LOOK_AFTER_MOST_MS), leftMs);
}

class LockKeeper implements TurnKeeper {
  readonly #store: KeyValueStore;
  readonly #caller: StoreCaller;

  constructor(store: KeyValueStore, caller: StoreCaller) {
    this.#store = store;
    this.#caller = caller;
  }

  abandon({ lock, token }: StoreTurn): void {
    void this.#caller.ask(lock, () => this.#store.run(ABANDON, [lock], [token, DIGEST_LENGTH]));
  }

  async renew({ lock, token }: StoreTurn): Promise<boolean> {
    const answer = await this.#caller.ask(lock, () => this.#store.run(RENEW, [lock], [token, LOCK_MS]));
    return typeof answer === "string" || answer.value === 1;
  }
}

export function createTurns(store: KeyValueStore, caller: StoreCaller): Turns {
  return new Turns(new LockKeeper(store, caller), RENEW_EVERY_MS);
}
