/** All that a cache keeps entries in: the memory of this thread, that of the others, and a store with other gateways. */
import type { Clock, Exchange } from "../../core/plugin.ts";
import type { Entry } from "./entry.ts";
import type { Flight } from "./flight.ts";
import type { MemoryLevel, Purges, StoreLevel } from "./level.ts";
import type { Neighbours } from "./neighbours.ts";
import type { CacheRequest } from "./request.ts";
import { isUsable, judgeReuse } from "./reuse.ts";
import { fits, mayShare } from "./sharing.ts";
import { normalizedField } from "./vary.ts";

/** An entry that was found elsewhere. */
export interface Found {
  readonly entry: Entry;
  readonly from: "thread" | "store";
  /** It may be used as it is; else it is newer than what is here, and to be validated. */
  readonly isUsable: boolean;
}

/** What is looked for. */
interface Search {
  readonly headers: Exchange["headers"];
  readonly request: CacheRequest;
  /** What there is already. */
  readonly than: Entry | undefined;
  /** When the search began: what came later is as good as the reply to another request that was waited for. */
  readonly sinceMs: number;
  /** When to stop waiting for others. */
  readonly until: number;
  /** It came later for sure, by whatever clock. */
  readonly isNew?: boolean;
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
    /** Longest that others are waited for, threads and gateways together. */
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

  /**
   * Looks where this thread has not looked. When nothing is found that may be used, others wait for what the flight
   * brings.
   * @param stored what is here, if it is not to be used as it is: only what is newer is found
   */
  async findElsewhere(
    flight: Flight,
    { headers }: Exchange,
    request: CacheRequest,
    stored: Entry | undefined,
  ): Promise<Found | undefined> {
    const { key } = flight;
    const until = this.#clock.monotonic() + this.#waitMs;
    const search: Search = { headers, request, than: stored, sinceMs: this.#clock.now(), until };
    const isEnough = (entry: Entry): boolean => this.#judge(entry, "thread", search)?.isUsable === true;
    const theirs = await this.#neighbours.find(key, headers, this.#waitMs, isEnough);
    let found = theirs && this.#judge(theirs, "thread", search);
    if (!found?.isUsable && this.#store !== undefined) {
      found = (await this.#findInStore(this.#store, flight, search, found)) ?? found;
    }
    if (found?.isUsable) this.memory.put(found.entry);
    return found;
  }

  async #findInStore(
    store: StoreLevel,
    flight: Flight,
    search: Search,
    theirs: Found | undefined,
  ): Promise<Found | undefined> {
    const { headers, request } = search;
    const fieldOf = (name: string): string => normalizedField(headers, name);
    // Whoever would not share a reply neither waits for one, nor is waited for.
    if (!mayShare(request)) {
      const entry = await store.find(flight.key, fieldOf);
      return entry && this.#judge(entry, "store", search);
    }
    let found = theirs;
    let than = theirs?.entry ?? search.than;
    // What is stale there is validated by one of all gateways, as what is not there is fetched by one.
    for (let isAgain = false; ; isAgain = true) {
      const waitMs = Math.max(0, search.until - this.#clock.monotonic());
      const { entry, turn } = await store.claim(flight.key, fieldOf, waitMs, than);
      flight.turn = turn;
      if (entry === undefined) return found;
      found = this.#judge(entry, "store", { ...search, than, isNew: isAgain }) ?? found;
      if (found?.isUsable || isAgain) return found;
      than = entry;
    }
  }

  #judge(
    entry: Entry,
    from: Found["from"],
    { headers, request, than, sinceMs, isNew = from === "thread" && entry.respondedAtMs > sinceMs }: Search,
  ): Found | undefined {
    if (entry.part !== undefined || !fits(entry, headers)) return undefined;
    if (than !== undefined && entry.respondedAtMs <= than.respondedAtMs) return undefined;
    const state = this.purges.stateOf(entry);
    if (state === "gone") return undefined;
    const reuse = judgeReuse(entry, request, this.#clock.now(), state === "stale");
    // What is never fresh may be for the one only whose request brought it.
    const wasFresh = isNew && mayShare(request) && isUsable(entry, entry.respondedAtMs);
    const isFit = reuse === "use" || reuse === "refresh" || wasFresh;
    return { entry, from, isUsable: state === "live" && isFit };
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
