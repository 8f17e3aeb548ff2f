/**
 * The gateways with the same store, as one that coalesces has them: one of them sends a request, and hands its reply over
 * to those who wait for it. Without the store each is by itself; nothing here ever fails.
 */
import type { Clock, KeyValueStore, Log, StoreHealth } from "../../../core/plugin.ts";
import type { Entry } from "../entry.ts";
import { type Claim, NEITHER, type Turn } from "../level.ts";
import { decodeEntry, encodeEntry } from "../store/entry-codec.ts";
import { type Listener, Notes, untilNextLookMs } from "../store/notes.ts";
import { HELD, YOURS } from "../store/scripts.ts";
import { type Answer, type NoAnswer, StoreCaller } from "../store/store-caller.ts";
import { DIGEST_LENGTH, digestOf, lockOf, urlDigestOf } from "../store/store-keys.ts";
import { LOCK_MS, StoreTurn, Turns } from "../store/turns.ts";
import { CLAIM, HAND_OVER, TAKE } from "./scripts.ts";

/** Larger bodies are compressed. */
const COMPRESS_ABOVE = 1024;

/**
 * Requests by what the store said: `turn` to send it for all gateways, `handed` the reply to another, `none` that there
 * is none to wait for, or not in time; `skipped` were not asked about, because the store is away.
 */
export class GatewayCounts {
  readonly claims = { turn: 0, handed: 0, none: 0, skipped: 0, error: 0 };
  /** Replies that others waited for. */
  readonly handOvers = { handed: 0, failed: 0 };
  /** Requests that waited. */
  waits = 0;
}

export interface GatewaysOptions {
  /** What all keys begin with. */
  readonly scope: string;
  readonly store: KeyValueStore;
  readonly health: StoreHealth;
  readonly counts: GatewayCounts;
  readonly clock: Clock;
  readonly log: Log;
}

export class Gateways {
  readonly #options: GatewaysOptions;
  readonly #caller: StoreCaller;
  readonly #notes: Notes;
  readonly #turns: Turns;

  constructor(options: GatewaysOptions) {
    this.#options = options;
    this.#caller = new StoreCaller(options);
    this.#notes = new Notes(options.store, options.scope);
    this.#turns = new Turns(options.store, this.#caller);
  }

  close(): void {
    this.#turns.close();
    this.#notes.close();
  }

  /** Gives the right to send a request, or the reply to who has it. */
  async claim(topic: string, waitMs: number): Promise<Claim> {
    const until = this.#options.clock.monotonic() + waitMs;
    const listener = this.#notes.listen(urlDigestOf(topic));
    try {
      const claim = await this.#claim(topic, this.#options.scope + digestOf(topic), listener, until);
      const { claims } = this.#options.counts;
      if (typeof claim === "string") claims[claim === "away" ? "skipped" : "error"]++;
      else claims[claim.turn !== undefined ? "turn" : claim.entry !== undefined ? "handed" : "none"]++;
      return typeof claim === "string" ? NEITHER : claim;
    } finally {
      listener.close();
    }
  }

  /** Ends a turn with a reply, for those who wait for it. */
  async handOver(turn: Turn, entry: Entry): Promise<void> {
    if (!(turn instanceof StoreTurn) || turn.isOver) return;
    const { counts } = this.#options;
    let answer = await this.#handOver(turn, "");
    if (isOne(answer)) {
      answer = await this.#handOver(turn, await encodeEntry(entry, COMPRESS_ABOVE));
      counts.handOvers[typeof answer === "string" ? "failed" : "handed"]++;
    }
    if (typeof answer === "string") turn.abandon();
    else turn.end();
  }

  #handOver(turn: StoreTurn, reply: Buffer | ""): Promise<Answer<unknown>> {
    const { lock, token } = turn;
    const keys = [lock, placeOf(lock, token)];
    return this.#caller.ask(lock, () =>
      this.#options.store.run(HAND_OVER, keys, [token, DIGEST_LENGTH, reply]),
    );
  }

  async #claim(topic: string, name: string, listener: Listener, until: number): Promise<Claim | NoAnswer> {
    const { store, counts } = this.#options;
    const lock = lockOf(name);
    for (let waits = 0; ; waits++) {
      const turn = new StoreTurn(this.#turns, lock);
      const answer = await this.#caller.ask<unknown>(name, () =>
        store.runForBytes(CLAIM, [lock], [turn.token, LOCK_MS]),
      );
      if (typeof answer === "string") return answer;
      if (answer.value === YOURS) {
        this.#turns.hold(turn);
        return { entry: undefined, turn };
      }
      if (!(answer.value instanceof Buffer)) return NEITHER;
      if (waits === 0) counts.waits++;
      const token = answer.value.toString("latin1");
      const taken = await this.#wait([lock, placeOf(lock, token)], token, listener, until);
      if (typeof taken === "string") return taken;
      const { value } = taken;
      if (value instanceof Buffer) return { entry: await decodeEntry(value, topic), turn: undefined };
      if (value === HELD) return NEITHER; // it takes too long
      // Who had the lock is gone, or has nothing for others: the next claim tells.
    }
  }

  /** Waits for what is handed over, and as long as it is to be expected. */
  async #wait(
    keys: readonly string[],
    token: string,
    listener: Listener,
    until: number,
  ): Promise<Answer<unknown>> {
    const { store, clock } = this.#options;
    for (let looks = 0; ; looks++) {
      await listener.wait(untilNextLookMs(looks, Math.max(0, until - clock.monotonic())));
      const taken = await this.#caller.ask<unknown>(keys[0]!, () => store.runForBytes(TAKE, keys, [token]));
      if (typeof taken === "string" || taken.value !== HELD || clock.monotonic() >= until) return taken;
    }
  }
}

/** Where the reply of whoever has a lock lies. */
function placeOf(lock: string, token: string): string {
  return `${lock}${token}`;
}

function isOne(answer: Answer<unknown>): boolean {
  return typeof answer === "object" && answer.value === 1;
}
