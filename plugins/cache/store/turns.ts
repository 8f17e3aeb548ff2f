/**
 * The turns that this thread has to fetch something for all gateways. Each is a lock in the store that ends by itself
 * soon, and is renewed for as long as the turn takes: so whoever waits goes on waiting while somebody fetches, and not for
 * one that is gone.
 */
import { randomUUID } from "node:crypto";
import type { Turn } from "../level.ts";

/** What a turn is ended and renewed by. */
export interface TurnKeeper {
  /** Tells those who wait that there is nothing to wait for. */
  abandon(turn: StoreTurn): void;
  /** @returns false when the lock is not this turn's any more */
  renew(turn: StoreTurn): Promise<boolean>;
}

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
    this.#turns.keeper.abandon(this);
  }

  /** It is over, and the store knows. */
  end(): void {
    this.#isOver = true;
    this.#turns.forget(this);
  }
}

export class Turns {
  readonly keeper: TurnKeeper;
  readonly #everyMs: number;
  readonly #held = new Set<StoreTurn>();
  #timer: NodeJS.Timeout | undefined;

  /** @param everyMs time between two renewals */
  constructor(keeper: TurnKeeper, everyMs: number) {
    this.keeper = keeper;
    this.#everyMs = everyMs;
  }

  /** Renews a turn from now on. */
  hold(turn: StoreTurn): void {
    this.#held.add(turn);
    this.#timer ??= setInterval(() => this.#renewAll(), this.#everyMs).unref();
  }

  forget(turn: StoreTurn): void {
    this.#held.delete(turn);
    if (this.#held.size === 0) this.close();
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
    if (!(await this.keeper.renew(turn))) this.forget(turn);
  }
}
