/** The levels that entries are kept in: memory of this thread, and a store that several gateways share. */
import type { Entry } from "./entry.ts";

/** Gives the normalized value that a request has in a field; `ABSENT` of vary.ts when it has none. */
export type FieldOf = (name: string) => string;

/** The first level: at hand, within a bound of bytes. */
export interface MemoryLevel {
  /**
   * The newest variant that fits the request and that no hard purge concerns; one that a soft purge concerns is stale
   * from then on. Counts as a use.
   */
  find(key: string, fieldOf: FieldOf): Entry | undefined;
  /** The same, for those who only look: it counts as no use. */
  peek(key: string): readonly Entry[];
  /**
   * Keeps an entry, in the place of the variant with the same values if there is one, unless it is too large or was
   * purged meanwhile; others may have to go. It takes the memory it says if its body is not a part of a larger buffer.
   */
  put(entry: Entry): void;
  /** Takes away all variants of a key. */
  delete(key: string): void;
  /**
   * Takes away all replies to what was changed.
   * @param key of a request for it
   * @param url of which all replies go, whatever else tells them apart, as entries have it
   */
  change(key: string, url: string): void;
}

/** The second level. It never fails: without an answer there is nothing in it, and its stats say so. */
export interface StoreLevel {
  find(key: string, fieldOf: FieldOf): Promise<Entry | undefined>;
  /**
   * The same for those who fetch what they do not find, one of all gateways at a time: the others wait for what it finds.
   * @param waitMs how long, at most
   * @param than what is at hand already, and cannot be used as it is: only what is newer is found
   */
  claim(key: string, fieldOf: FieldOf, waitMs: number, than?: Entry): Promise<Claim>;
  /**
   * @param turn ends with it
   * @returns when whoever waits for the entry may go on, by the strategy; whether it was stored or not
   */
  put(entry: Entry, turn?: Turn): Promise<void>;
  delete(key: string): Promise<void>;
  /**
   * Something was changed: takes away what there is for a key, and has all gateways drop what they have of the URL, if
   * one of them has fetched anything of it since the last time.
   * @param url as entries have it
   */
  change(key: string, url: string): Promise<void>;
}

/** What there is, or the right to fetch it; or {@link NEITHER}. */
export interface Claim {
  readonly entry: Entry | undefined;
  readonly turn: Turn | undefined;
  /** There is only what is for requests with other values, by Vary. */
  readonly hasOthers?: boolean;
}

/** Whoever asked fetches it without a turn. It is not to be stored, the wait was too long, or the store is away. */
export const NEITHER: Claim = { entry: undefined, turn: undefined };

/** The right to fetch something that other gateways wait for. Ends with the `put` of what was fetched, or: */
export interface Turn {
  /** There is nothing to store: those who wait go on by themselves. */
  abandon(): void;
}

/** What a purge concerns: everything, or what has this key, this URL, a URL that begins with it, or the tag. */
export interface Purge {
  readonly kind: "all" | "key" | "url" | "prefix" | "tag";
  readonly value: string;
  /** What it concerns becomes stale; else it is gone. */
  readonly soft: boolean;
}

/** A purge with its place in the order of all: numbers grow, and none is given twice. */
export interface PurgeRecord extends Purge {
  readonly number: number;
}

/** The purges that are known: entries older than one that concerns them are stale or gone. */
export interface Purges {
  /** All purges up to this number are known: entries that are asked for now carry it. */
  readonly version: number;
  /** Changes when a purge becomes known: what was looked at since it last did need not be looked at again. */
  readonly revision: number;
  /**
   * What became of an entry.
   * @param since a `version` under which it was found to be live; that under which it was asked for, by default
   */
  stateOf(entry: Entry, since?: number): "live" | "stale" | "gone";
}
