/** All that a cache keeps entries in: the memory of this thread, that of the others, and a store with other gateways. */
import type { Clock, Exchange } from "../../core/plugin.ts";
import type { Entry } from "./entry.ts";
import type { Flight } from "./flight.ts";
import type { MemoryLevel, Purges, StoreLevel } from "./level.ts";
import type { Neighbours } from "./neighbours.ts";
import type { CacheRequest } from "./request.ts";
import { judgeReuse } from "./reuse.ts";
import { fits } from "./sharing.ts";
import { normalizedField } from "./vary.ts";

/** An entry that was found elsewhere. */
export interface Found {
  readonly entry: Entry;
  readonly from: "thread" | "store";
  /** It may be used as it is; else it is newer than what is here, and to be validated. */
  readonly isUsable: boolean;
}

export class Levels {
  readonly memory: MemoryLevel;
  readonly purges: Purges;
  readonly #neighbours: Neighbours;
  readonly #store: StoreLevel | undefined;
  readonly #waitMs: number;
  readonly #clock: Clock;
  /** There is more than the memory of this thread. */
  readonly hasOthers: boolean;

  constructor(parts: {
    memory: MemoryLevel;
    purges: Purges;
    neighbours: Neighbours;
    store: StoreLevel | undefined;
    threads: number;
    waitMs: number;
    clock: Clock;
  }) {
    this.memory = parts.memory;
    this.purges = parts.purges;
    this.#neighbours = parts.neighbours;
    this.#store = parts.store;
    this.#waitMs = parts.waitMs;
    this.#clock = parts.clock;
    this.hasOthers = parts.threads > 1 || parts.store !== undefined;
  }

  /** Looks where this thread has not looked. When nothing is found, others wait for what the flight brings. */
  async findElsewhere(
    flight: Flight,
    { headers }: Exchange,
    request: CacheRequest,
    stored: Entry | undefined,
  ): Promise<Found | undefined> {
    const { key } = flight;
    const theirs = await this.#neighbours.find(key, headers);
    const found = theirs && this.#judge(theirs, "thread", headers, request);
    if (found?.isUsable || this.#store === undefined) return found;
    const fieldOf = (name: string): string => normalizedField(headers, name);
    let entry: Entry | undefined;
    // Nobody needs to wait for a part.
    if (request.range !== undefined) entry = await this.#store.find(key, fieldOf);
    else ({ entry, turn: flight.turn } = await this.#store.claim(key, fieldOf, this.#waitMs, stored));
    return (entry && this.#judge(entry, "store", headers, request)) ?? found;
  }

  #judge(
    entry: Entry,
    from: Found["from"],
    headers: Exchange["headers"],
    request: CacheRequest,
  ): Found | undefined {
    if (entry.part !== undefined || !fits(entry, headers)) return undefined;
    const state = this.purges.stateOf(entry);
    if (state === "gone") return undefined;
    const reuse = judgeReuse(entry, request, this.#clock.now(), state === "stale");
    const isUsable = state === "live" && (reuse === "use" || reuse === "refresh");
    if (isUsable) this.memory.put(entry);
    return { entry, from, isUsable };
  }

  /** Keeps what a flight has brought, wherever it is to be. */
  keep(flight: Flight, entry: Entry): void {
    this.memory.put(entry);
    this.#neighbours.claim(entry.key);
    if (this.#store === undefined) return flight.onStored(entry);
    const { turn } = flight;
    flight.turn = undefined;
    void this.#store.put(entry, turn).then(() => flight.onStored(entry));
  }

  /** What there is of a key is out of date, everywhere. */
  drop(key: string): void {
    this.memory.delete(key);
    this.#neighbours.drop(key);
    void this.#store?.delete(key);
  }

  /** A flight has brought nothing to keep. */
  onNothing(flight: Flight): void {
    this.#neighbours.release(flight.key);
  }
}
