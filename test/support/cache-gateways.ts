/** Gateways that share the second level of a cache, as far as tests of that need them. Their clocks are real. */
import type { StoreConfig } from "../../core/config/checked.ts";
import { type Clock, type KeyValueStore, StoreHealth } from "../../core/plugin.ts";
import type { Entry } from "../../plugins/cache/entry.ts";
import type { FieldOf } from "../../plugins/cache/level.ts";
import { PurgeTable } from "../../plugins/cache/purges.ts";
import { PurgeLog } from "../../plugins/cache/store/purge-log.ts";
import { RedisLevel } from "../../plugins/cache/store/redis-level.ts";
import { StoreStats } from "../../plugins/cache/store/store-stats.ts";
import { entryOf } from "./cache-entries.ts";
import { FakeLog } from "./harness.ts";
import { openStore } from "./stores.ts";

export const CACHE = { KEY: "https example.com/a", SCOPE: "cache:route:stage:" } as const;

const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() };

export const noFields: FieldOf = () => "";

/** What a request has in fields. */
export const fields =
  (all: Record<string, string>): FieldOf =>
  (name) =>
    all[name] ?? "";

export interface JoinOptions {
  readonly timeout?: string;
  readonly variants?: number;
  /** Once by default: what is published is heard all the same. */
  readonly readPurgesEveryMs?: number;
  readonly lookAfterMs?: number;
}

export interface CacheGateway {
  readonly level: RedisLevel;
  readonly purgeLog: PurgeLog;
  readonly purges: PurgeTable;
  readonly stats: StoreStats;
  readonly health: StoreHealth;
  readonly clock: Clock;
  readonly log: FakeLog;
  readonly store: KeyValueStore;
  /** Under `CACHE.KEY`, asked for now. */
  entry(rest?: Partial<Entry>): Entry;
}

export async function joinCache(
  using: AsyncDisposableStack,
  config: StoreConfig,
  { variants = 4, readPurgesEveryMs = 3_600_000, lookAfterMs = 50 }: JoinOptions = {},
): Promise<CacheGateway> {
  const { store } = using.use(await openStore(config));
  const [log, purges, stats] = [new FakeLog(), new PurgeTable(), new StoreStats()];
  const purgeLog = new PurgeLog(store, { clock, log, readEveryMs: readPurgesEveryMs });
  using.defer(purgeLog.attach(purges, CACHE.SCOPE));
  await purgeLog.settled;
  const health = new StoreHealth("main", { away: "away", back: "back" });
  const around = { scope: CACHE.SCOPE, store, purgeLog, purges, health, stats, clock, log, variants };
  const level = new RedisLevel({ ...around, lookAfterMs, compressAbove: 1000 });
  using.defer(() => level.close());
  const entry = (rest?: Partial<Entry>): Entry =>
    entryOf({ key: CACHE.KEY, respondedAtMs: Date.now(), version: purges.version, ...rest });
  return { level, purgeLog, purges, stats, health, clock, log, store, entry };
}
