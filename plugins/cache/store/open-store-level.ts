/** Opens the second level of a cache, and the purges that it shares with other gateways. */
import { type Host, type KeyValueStore, StoreHealth, sharedStore } from "../../../core/plugin.ts";
import type { Entry } from "../entry.ts";
import type { Purges, StoreLevel, Turn } from "../level.ts";
import { PurgeLog, type PurgeSink } from "./purge-log.ts";
import { RedisLevel } from "./redis-level.ts";
import { scopeOf } from "./store-keys.ts";
import { exposeStoreStats, StoreStats } from "./store-stats.ts";
import { WriteBehind } from "./write-behind.ts";

export interface StoreLevelOptions {
  /** Name of the store. */
  readonly store: string;
  /** When whoever waits for an entry may go on: at once, or when it is in the store. */
  readonly strategy: "cache-aside" | "write-through" | "write-behind";
  /** Bodies with more bytes are compressed. */
  readonly compressAbove: number;
  /** Most variants of a key. */
  readonly variants: number;
  /** Where the purges of all gateways are made known. */
  readonly purges: Purges & PurgeSink;
}

export interface OpenedStoreLevel {
  readonly name: string;
  readonly level: StoreLevel;
  /** Takes purges for all gateways. */
  readonly purgeLog: PurgeLog;
  readonly stats: StoreStats;
  /** All that is there for a key. @returns undefined when the store does not answer */
  lookUp(key: string): Promise<Entry[] | undefined>;
}

const WORDS = {
  away: "caches do without their store until it answers again",
  back: "caches use their store again",
};

/** One for all caches of a generation that have the same store: its client is theirs alone. */
const purgeLogs = new WeakMap<KeyValueStore, PurgeLog>();

/** Writes that nobody waits for. */
class CacheAside extends RedisLevel {
  override put(entry: Entry, turn?: Turn): Promise<void> {
    void super.put(entry, turn);
    return Promise.resolve();
  }
}

/** @throws ConfigError when the store is in memory: there the first level is */
export function openStoreLevel(options: StoreLevelOptions, host: Host): OpenedStoreLevel {
  const { store: name, strategy, purges, compressAbove, variants } = options;
  const { route, stage, clock, log } = host;
  const store = sharedStore(name, host);
  const health = host.keep(`cache health ${name}`, () => new StoreHealth(name, WORDS));
  const stats = host.keep(`cache store ${route} ${stage}`, () => new StoreStats());
  const purgeLog = purgeLogs.get(store) ?? new PurgeLog(store, { clock, log });
  purgeLogs.set(store, purgeLog);
  const scope = scopeOf(route, stage);
  host.onClose(purgeLog.attach(purges, scope));
  const around = { scope, store, purgeLog, purges, health, stats, clock, log };
  const redis = new (strategy === "cache-aside" ? CacheAside : RedisLevel)({
    ...around,
    compressAbove,
    variants,
  });
  host.onClose(() => redis.close());
  const behind =
    strategy === "write-behind" ? new WriteBehind({ level: redis, stats, clock, log }) : undefined;
  if (behind !== undefined) host.onClose(() => behind.close());
  exposeStoreStats(stats, () => behind?.waiting ?? 0, host);
  return { name, level: behind ?? redis, purgeLog, stats, lookUp: (key) => redis.lookUp(key) };
}
