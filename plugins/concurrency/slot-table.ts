/** The slots of many keys, in this thread and in concert with the others. */
import type { Clock, Log, SharedState } from "../../core/plugin.ts";
import { Held, RENEW_MS } from "./held.ts";
import { Slots } from "./slots.ts";

/** How soon at the latest those who wait look again whether there is room. */
const LOOK_MS = 20;

export class SlotTable {
  readonly #slots = new Map<string, Slots>();
  readonly #shared: SharedState;
  readonly #clock: Clock;
  readonly #prefix: string;
  /** Keeps the cells of those who are in. */
  readonly #renewing: NodeJS.Timeout | undefined;
  /** Slots that somebody waits for, when they are shared. */
  readonly #waiting = new Set<Slots>();
  #looking: NodeJS.Timeout | undefined;
  #isListening = false;
  #hasWarned = false;
  /** Lent by the newest generation, so that no older one is kept. */
  log: Log;

  /** @param prefix tells the keys of this table from those of others; short */
  constructor(prefix: string, shared: SharedState, clock: Clock, log: Log) {
    this.#prefix = prefix;
    this.#shared = shared;
    this.#clock = clock;
    this.log = log;
    if (shared.threads > 1) this.#renewing = setInterval(() => this.#renew(), RENEW_MS).unref();
  }

  /** Keys that somebody is in for, or waits for, or that are kept. */
  get size(): number {
    return this.#slots.size;
  }

  of(key: string): Slots {
    return this.#slots.get(key) ?? this.#add(key, false);
  }

  /** The slots of a key that stay also when nobody is in. */
  keep(key: string): Slots {
    return this.#slots.get(key) ?? this.#add(key, true);
  }

  drop(slots: Slots): void {
    this.#slots.delete(slots.key);
  }

  /** Somebody waits for these, who may enter because of what happens in another thread. */
  watch(slots: Slots): void {
    this.#waiting.add(slots);
    this.#looking ??= setInterval(() => this.#look(), LOOK_MS);
    if (!this.#isListening) void this.#listen();
  }

  /** Nobody waits for these any more. */
  unwatch(slots: Slots): void {
    this.#waiting.delete(slots);
    if (this.#waiting.size > 0) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  close(): void {
    clearInterval(this.#renewing);
  }

  #add(key: string, isKept: boolean): Slots {
    let held: Held | undefined;
    if (this.#shared.threads > 1) {
      held = new Held(this.#shared, this.#prefix + key, this.#clock.monotonic());
      if (!held.isShared) this.#warn();
    }
    const slots = new Slots(key, this, held, isKept);
    this.#slots.set(key, slots);
    return slots;
  }

  #renew(): void {
    const now = this.#clock.monotonic();
    for (const slots of this.#slots.values()) slots.renew(now);
  }

  #look(): void {
    for (const slots of this.#waiting) slots.admit();
  }

  /** Looks whenever another thread rings. */
  async #listen(): Promise<void> {
    this.#isListening = true;
    let rung = this.#shared.rung();
    while (this.#waiting.size > 0) {
      await rung;
      rung = this.#shared.rung();
      this.#look();
    }
    this.#isListening = false;
  }

  #warn(): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const message = "no room to count over all threads: until there is, each allows its share of the limit";
    this.log.warn({ table: "holdings" }, message);
  }
}
