/** All that a cache keeps entries in: the memory of this thread, that of the others, and a store with other gateways. */
import type { Clock, Exchange } from "../../core/plugin.ts";
import type { Forwarded } from "./cache-status.ts";
import type { Entry } from "./entry.ts";
import type { Flight } from "./flight.ts";
import type { MemoryLevel, Purges, StoreLevel } from "./level.ts";
import type { Held, Neighbours } from "./neighbours.ts";
import type { Purger } from "./purger.ts";
import type { CacheRequest } from "./request.ts";
import { isUsable, judgeReuse } from "./reuse.ts";
import { fits, mayShare } from "./sharing.ts";
import { normalizedField } from "./vary.ts";
import type { Wanted } from "./wanted.ts";

/** An entry that was found elsewhere. */
export interface Found {
  readonly entry: Entry;
  readonly from: "thread" | "store";
  /** It may be used as it is; else it is newer than what is here, and to be validated. */
  readonly isUsable: boolean;
  /** Why it is to be validated. */
  readonly why: "stale" | "request";
}

/** What a search has come to. */
export interface Elsewhere {
  readonly found: Found | undefined;
  /** There is something for requests with other values, by Vary. */
  readonly hasOthers: boolean;
}

/** Why a request is sent on after others were asked for what it is about. @param why so far */
export function reasonWith(why: Forwarded, { found, hasOthers }: Elsewhere): Forwarded {
  return found?.why ?? (why === "uri-miss" && hasOthers ? "vary-miss" : why);
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
  hasOthers: boolean;
}

export class Levels {
  readonly memory: MemoryLevel;
  readonly purges: Purges;
  readonly #neighbours: Neighbours;
  readonly #store: StoreLevel | undefined;
  readonly #purger: Pick<Purger, "spread">;
  readonly #waitMs: number;
  readonly #clock: Clock;
  /** There is more than the memory of this thread. */
  readonly hasOthers: boolean;

  constructor(parts: {
    memory: MemoryLevel;
    purges: Purges;
    neighbours: Neighbours;
    store: StoreLevel | undefined;
    purger: Pick<Purger, "spread">;
    threads: number;
    /** Longest that others are waited for, threads and gateways together. */
    waitMs: number;
    clock: Clock;
  }) {
    this.memory = parts.memory;
    this.purges = parts.purges;
    this.#neighbours = parts.neighbours;
    this.#store = parts.store;
    this.#purger = parts.purger;
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
  ): Promise<Elsewhere> {
    const search = this.#begin(headers, request, stored);
    const isEnough = (entry: Entry): boolean => this.#judge(entry, "thread", search)?.isUsable === true;
    const held = await this.#neighbours.find(flight.key, headers, this.#waitMs, isEnough);
    const theirs = this.#judgeHeld(held, search);
    if (theirs?.isUsable || this.#store === undefined) return this.#take(theirs, search);
    // Whoever would not share a reply neither waits for one, nor is waited for.
    const inStore = mayShare(request)
      ? await this.#claimInStore(this.#store, flight, search, theirs)
      : await this.#findInStore(this.#store, flight.key, search);
    return this.#take(inStore ?? theirs, search);
  }

  /** The same for those who bring nothing that others could wait for. */
  async peekElsewhere({ x, request, key, stored }: Wanted): Promise<Elsewhere> {
    const { headers } = x;
    const search = this.#begin(headers, request, stored);
    const theirs = this.#judgeHeld(await this.#neighbours.peek(key, headers), search);
    if (theirs?.isUsable || this.#store === undefined) return this.#take(theirs, search);
    return this.#take((await this.#findInStore(this.#store, key, search)) ?? theirs, search);
  }

  #begin(headers: Exchange["headers"], request: CacheRequest, than: Entry | undefined): Search {
    const until = this.#clock.monotonic() + this.#waitMs;
    return { headers, request, than, sinceMs: this.#clock.now(), until, hasOthers: false };
  }

  #take(found: Found | undefined, { hasOthers }: Search): Elsewhere {
    if (found?.isUsable) this.memory.put(found.entry);
    return { found, hasOthers };
  }

  async #findInStore(store: StoreLevel, key: string, search: Search): Promise<Found | undefined> {
    const entry = await store.find(key, (name) => normalizedField(search.headers, name));
    return entry && this.#judge(entry, "store", search);
  }

  async #claimInStore(
    store: StoreLevel,
    flight: Flight,
    search: Search,
    theirs: Found | undefined,
  ): Promise<Found | undefined> {
    const fieldOf = (name: string): string => normalizedField(search.headers, name);
    let found = theirs;
    let than = theirs?.entry ?? search.than;
    // What is stale there is validated by one of all gateways, as what is not there is fetched by one.
    for (let isAgain = false; ; isAgain = true) {
      const waitMs = Math.max(0, search.until - this.#clock.monotonic());
      const { entry, turn, hasOthers } = await store.claim(flight.key, fieldOf, waitMs, than);
      flight.turn = turn;
      if (hasOthers) search.hasOthers = true;
      if (entry === undefined) return found;
      found = this.#judge(entry, "store", { ...search, than }, isAgain) ?? found;
      if (found?.isUsable || isAgain) return found;
      than = entry;
    }
  }

  #judgeHeld(held: Held, search: Search): Found | undefined {
    if (held === "others") search.hasOthers = true;
    return typeof held === "object" ? this.#judge(held, "thread", search) : undefined;
  }

  /** @param isNew it came after the search began, for sure, by whatever clock */
  #judge(
    entry: Entry,
    from: Found["from"],
    search: Search,
    isNew = from === "thread" && entry.respondedAtMs > search.sinceMs,
  ): Found | undefined {
    const { headers, request, than } = search;
    if (!fits(entry, headers)) {
      search.hasOthers = true;
      return undefined;
    }
    if (entry.part !== undefined) return undefined;
    if (than !== undefined && entry.respondedAtMs <= than.respondedAtMs) return undefined;
    const state = this.purges.stateOf(entry);
    if (state === "gone") return undefined;
    const reuse = judgeReuse(entry, request, this.#clock.now(), state === "stale");
    // What is never fresh may be for the one only whose request brought it.
    const wasFresh = isNew && mayShare(request) && isUsable(entry, entry.respondedAtMs);
    const isFit = reuse === "use" || reuse === "refresh" || wasFresh;
    const why = reuse === "request" ? "request" : "stale";
    return { entry, from, isUsable: state === "live" && isFit, why };
  }

  /**
   * Keeps an entry, wherever it is to be.
   * @param flight that has brought it
   */
  keep(entry: Entry, flight?: Flight): void {
    this.memory.put(entry);
    this.#neighbours.claim(entry.key);
    if (this.#store === undefined) return flight?.onStored(entry);
    const turn = flight?.turn;
    if (flight !== undefined) flight.turn = undefined;
    void this.#store.put(entry, turn).then(() => flight?.onStored(entry));
  }

  /** What there is of a key is to be validated before it is used again, everywhere. Holds here when it resolves. */
  outdate(key: string): Promise<void> {
    return this.#purger.spread({ kind: "key", value: key, soft: true }, "");
  }

  /** What there is of a key is out of date, everywhere. */
  drop(key: string): void {
    this.memory.delete(key);
    this.#neighbours.drop(key);
    void this.#store?.delete(key);
  }

  /** What there is of a key, and of a URL as entries have it, was changed: it is out of date everywhere. */
  change(key: string, url: string): void {
    this.memory.change(key, url);
    this.#neighbours.drop(key, url);
    void this.#store?.change(key, url);
  }

  /** A flight has brought nothing to keep. */
  onNothing(flight: Flight): void {
    this.#neighbours.release(flight.key);
  }
}
