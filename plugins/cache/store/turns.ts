/**
 * The turns that this thread has to fetch something for all gateways. Each is a lock in Redis that ends by itself soon,
 * and is renewed for as long as the turn takes: so whoever waits goes on waiting while somebody fetches, and not for one
 * that is gone.
 */
import { randomUUID } from "node:crypto";
import type { KeyValueStore } from "../../../core/plugin.ts";
import type { Turn } from "../level.ts";
import { ABANDON, RENEW } from "./scripts.ts";
import type { StoreCaller } from "./store-caller.ts";
import { DIGEST_LENGTH } from "./store-keys.ts";

/** How long the lock of somebody lasts who is gone; whoever is there renews it in time. */
export const LOCK_MS = 1250;
const RENEW_EVERY_MS = LOCK_MS / 5;

export class StoreTurn implements Turn {
  readonly lock: string;
  readonly token = randomUUID();
  readonly #turns: Turns;
  #isOver = false;

  constructor(turns: Turns, lock: string) {
    this.#turns = turns;
    this.lock = lock;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  abandon(): void {
    if (this.#isOver) return;
    this.end();
    this.#turns.giveBack(this);
  }

  /** It is over, and the store knows. */
  end(): void {
    this.#isOver = true;
    this.#turns.forget(this);
  }
}

export class Turns {
  readonly #store: KeyValueStore;
  readonly #caller: StoreCaller;
  readonly #held = new Set<StoreTurn>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: KeyValueStore, caller: StoreCaller) {
    this.#store = store;
    this.#caller = caller;
  }

  /** Renews a turn from now on. */
  hold(turn: StoreTurn): void {
    this.#held.add(turn);
    this.#timer ??= setInterval(() => this.#renewAll(), RENEW_EVERY_MS).unref();
  }

  forget(turn: StoreTurn): void {
    this.#held.delete(turn);
    if (this.#held.size === 0) this.close();
  }

  /** Ends a lock, and tells those who wait for it that there is nothing to wait for. */
  giveBack({ lock, token }: StoreTurn): void {
    void this.#caller.ask(lock, () => this.#store.run(ABANDON, [lock], [token, DIGEST_LENGTH]));
  }

  /** What is held is not renewed any more. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #renewAll(): void {
    for (const turn of this.#held) void this.#renew(turn);
  }

  async #renew(turn: StoreTurn): Promise<void> {
    const { lock, token } = turn;
    const answer = await this.#caller.ask(lock, () => this.#store.run(RENEW, [lock], [token, LOCK_MS]));
    // Without an answer it may still be this turn's.
    if (typeof answer !== "string" && answer.value !== 1) this.forget(turn);
  }
}
