/** The levels that entries are kept in: memory of this thread, and a store that several gateways share. */
import type { Entry } from "./entry.ts";

/** Gives the normalized value that a request has in a field; undefined when it has none. */
export type FieldOf = (name: string) => string | undefined;

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
}

/** The second level. It never fails: without an answer there is nothing in it, and its stats say so. */
export interface StoreLevel {
  find(key: string, fieldOf: FieldOf): Promise<Entry | undefined>;
  /** @returns when it is done, or given up */
  put(entry: Entry): Promise<void>;
  delete(key: string): Promise<void>;
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
