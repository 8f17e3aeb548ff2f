/** What operators see of a cache, and ask it: what threads tell and are told, as plain data. */
import type { WarmOptions } from "./warm-options.ts";

/** Times by what happened. */
export type Tally = Readonly<Record<string, number>>;

/** What one thread tells of a cache, or several together. */
export interface CacheReading {
  readonly route: string;
  readonly stage: string;
  readonly memory: {
    readonly entries: number;
    readonly bytes: number;
    readonly maxBytes: number;
    readonly evict: string;
    /** Entries that went, by reason. */
    readonly evicted: Tally;
  };
  /** By what became of them. */
  readonly requests: Tally;
  readonly refreshes: Tally;
  readonly stored: number;
  /** Replies that were not stored, by reason. */
  readonly notStored: Tally;
  readonly purges: Tally;
  /** null without a store. */
  readonly store: StoreReading | null;
  /** Of the list that it was warmed with last; null before the first. */
  readonly warm: WarmReading | null;
}

/** What one thread has asked of a store. */
export interface StoreReading {
  readonly name: string;
  /** By how they ended. */
  readonly lookups: Tally;
  readonly writes: Tally;
  readonly bytes: Tally;
}

/** How far a cache has come with asking for what clients will ask for. */
export interface WarmReading {
  readonly state: "under-way" | "done" | "stopped";
  readonly stored: number;
  readonly failed: number;
  readonly remaining: number;
  readonly lastErrors: readonly { readonly url: string; readonly reason: string }[];
}

/** A stored reply, as one thread has it. */
export interface EntryReading {
  readonly key: string;
  readonly status: number;
  readonly bytes: number;
  readonly ageSeconds: number;
  /** Not above 0 when it is stale. */
  readonly ttlSeconds: number;
  /** May be used without being validated. */
  readonly isFresh: boolean;
  /** What requests must have in the fields that Vary names; null for not having it. */
  readonly vary: Readonly<Record<string, string | null>>;
  readonly tags: readonly string[];
}

/** The same in a store. */
export interface StoredReading extends EntryReading {
  /** The newest purge that was known when it was asked for. */
  readonly version: number;
}

/** What one thread has for a URL or a key. */
export interface LookupReading {
  readonly thread: number;
  readonly entries: readonly EntryReading[];
  /** Why a reply was not stored, when that happened last. */
  readonly refusal: { readonly reason: string; readonly at: number } | null;
  /** What the store has, under keys that this thread knows; null without a store. */
  readonly store: {
    readonly name: string;
    /** It has answered. */
    readonly isThere: boolean;
    readonly entries: readonly StoredReading[];
  } | null;
}

/** What is purged. */
export interface PurgeRequest {
  readonly kind: "all" | "key" | "url" | "prefix" | "tag";
  readonly value: string;
  readonly soft: boolean;
}

/** What one thread did about a purge. */
export interface PurgeReading {
  /** False when other gateways will hear of it only once the store is back. */
  readonly isSpread: boolean;
}

/** What a cache can be asked. */
export type CacheQuestion =
  /** A {@link LookupReading} is the answer. */
  | { readonly kind: "lookup"; readonly by: "url" | "key"; readonly value: string }
  /** A {@link PurgeReading} is the answer. The id is the same for all threads. */
  | { readonly kind: "purge"; readonly purge: PurgeRequest; readonly id: string }
  /** A {@link WarmAnswer} is the answer. */
  | { readonly kind: "warm"; readonly options: WarmOptions }
  | { readonly kind: "stop-warming" };

/** What one thread does about being warmed; one of them does it. */
export interface WarmAnswer {
  /** It is working on another list. */
  readonly isBusy: boolean;
}

/** What two threads tell of a cache. */
export function mergeCaches(a: CacheReading, b: CacheReading): CacheReading {
  return {
    ...a,
    memory: {
      ...a.memory,
      entries: a.memory.entries + b.memory.entries,
      bytes: a.memory.bytes + b.memory.bytes,
      maxBytes: a.memory.maxBytes + b.memory.maxBytes,
      evicted: addUp(a.memory.evicted, b.memory.evicted),
    },
    requests: addUp(a.requests, b.requests),
    refreshes: addUp(a.refreshes, b.refreshes),
    stored: a.stored + b.stored,
    notStored: addUp(a.notStored, b.notStored),
    purges: addUp(a.purges, b.purges),
    store: a.store && b.store && mergeStores(a.store, b.store),
    warm: a.warm ?? b.warm,
  };
}

function mergeStores(a: StoreReading, b: StoreReading): StoreReading {
  return {
    name: a.name,
    lookups: addUp(a.lookups, b.lookups),
    writes: addUp(a.writes, b.writes),
    bytes: addUp(a.bytes, b.bytes),
  };
}

function addUp(a: Tally, b: Tally): Tally {
  const sum = { ...a };
  for (const [what, count] of Object.entries(b)) sum[what] = (sum[what] ?? 0) + count;
  return sum;
}

/** A cache, with how many of the requests that it could answer it did. */
export function showCache(id: string, reading: CacheReading): object {
  const { hit = 0, stale = 0, revalidated = 0, miss = 0, collapsed = 0 } = reading.requests;
  const all = hit + stale + revalidated + miss + collapsed;
  const hitRatio = all === 0 ? null : Math.round((1000 * (all - miss)) / all) / 1000;
  return { id, ...reading, hitRatio };
}

/** What all threads have for a URL or a key: what is the same on several is shown once. */
export function showLookup(readings: readonly LookupReading[]): object {
  const entries = new Map<string, { entry: EntryReading; threads: number[] }>();
  let refusal: LookupReading["refusal"] = null;
  for (const { thread, entries: found, refusal: own } of readings) {
    if (own !== null && own.at > (refusal?.at ?? 0)) refusal = own;
    for (const entry of found) {
      const id = JSON.stringify([entry.key, entry.vary]);
      const same = entries.get(id);
      if (same === undefined) entries.set(id, { entry, threads: [thread] });
      else {
        same.threads.push(thread);
        if (entry.ageSeconds < same.entry.ageSeconds) same.entry = entry;
      }
    }
  }
  return {
    stored: entries.size > 0,
    entries: [...entries.values()].map(({ entry, threads }) => ({ ...entry, threads })),
    store: showStored(readings),
    lastRefusal: refusal && { reason: refusal.reason, at: new Date(refusal.at).toISOString() },
  };
}

/** What is in the store, as far as threads know where. */
function showStored(readings: readonly LookupReading[]): object | null {
  const stores = readings.flatMap(({ store }) => store ?? []);
  const [first] = stores;
  if (first === undefined) return null;
  if (!stores.every(({ isThere }) => isThere)) return { name: first.name, available: false, entries: [] };
  const entries = new Map<string, StoredReading>();
  for (const entry of stores.flatMap((store) => store.entries)) {
    entries.set(JSON.stringify([entry.key, entry.vary]), entry);
  }
  return { name: first.name, available: true, entries: [...entries.values()] };
}
