/** A cache of one stage, on one thread, as operators look at it and purge it. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type {
  CacheQuestion,
  CacheReading,
  EntryReading,
  LookupReading,
  PurgeReading,
  StoredReading,
  StoreReading,
  WarmAnswer,
} from "../../core/cache-view.ts";
import type { Exposed, Host } from "../../core/plugin.ts";
import type { WarmOptions } from "../../core/warm-options.ts";
import { ageMs, ageSeconds } from "./age.ts";
import type { Entry } from "./entry.ts";
import type { KeptCache } from "./kept.ts";
import { type Purger, toAddress } from "./purger.ts";
import type { CacheRules } from "./rules.ts";
import { ttlSeconds } from "./serve.ts";
import type { OpenedStoreLevel } from "./store/open-store-level.ts";
import type { StoreStats } from "./store/store-stats.ts";
import { ABSENT } from "./vary.ts";

/** Entries that are looked at in one turn: some hundred microseconds. */
const ENTRIES_PER_TURN = 4096;

export interface ExposedParts {
  readonly host: Pick<Host, "route" | "stage" | "clock" | "shared">;
  readonly rules: CacheRules;
  readonly kept: KeptCache;
  readonly purger: Purger;
  /** Of the store, if there is one. */
  readonly store: Pick<OpenedStoreLevel, "name" | "stats" | "lookUp"> | undefined;
}

function readStore(name: string, { lookups, writes, bytes }: StoreStats): StoreReading {
  return { name, lookups: { ...lookups }, writes: { ...writes }, bytes: { ...bytes } };
}

export class ExposedCache implements Exposed {
  readonly #parts: ExposedParts;

  constructor(parts: ExposedParts) {
    this.#parts = parts;
  }

  describe(): CacheReading {
    const { host, rules, kept, store } = this.#parts;
    const { counts } = kept;
    const { entries, bytes, evicted } = kept.memory;
    const { maxBytes, evict } = rules.memory;
    return {
      route: host.route,
      stage: host.stage,
      memory: { entries, bytes, maxBytes, evict, evicted: { ...evicted } },
      requests: { ...counts.requests },
      refreshes: { ...counts.refreshes },
      stored: counts.stored,
      notStored: { ...counts.refused },
      purges: { ...counts.purges },
      store: store === undefined ? null : readStore(store.name, store.stats),
      warm: kept.warmer.read(),
    };
  }

  /** @throws ConfigError when it is about a URL that is none */
  async ask(question: unknown): Promise<LookupReading | PurgeReading | WarmAnswer> {
    const asked = question as CacheQuestion;
    if (asked.kind === "lookup") return this.#lookUp(asked.by, asked.value);
    if (asked.kind !== "purge") return this.#warm(asked.kind === "warm" ? asked.options : undefined);
    return { isSpread: await this.#parts.purger.purge(asked.purge, asked.id) };
  }

  /** @param options what with; undefined to stop */
  #warm(options: WarmOptions | undefined): WarmAnswer {
    const { host, kept } = this.#parts;
    if (options === undefined) kept.warmer.stop();
    // The others get from the first what it has.
    if (options === undefined || host.shared.thread !== 0) return { isBusy: false };
    return { isBusy: !kept.warmer.begin(options) };
  }

  async #lookUp(by: "url" | "key", value: string): Promise<LookupReading> {
    const { host, rules, kept } = this.#parts;
    const { thread } = host.shared;
    if (by === "key") {
      const entries = kept.memory.peek(value).map(this.#show);
      return { thread, entries, refusal: null, store: await this.#lookUpStored([value]) };
    }
    const address = toAddress(value, rules.keys, undefined, "/url");
    const found = await this.#findAll(address);
    const keys = new Set(found.map(({ key }) => key));
    for (const scheme of ["http", "https"]) keys.add(`${scheme}://${address}`);
    return {
      thread,
      entries: found.map(this.#show),
      refusal: kept.counts.refusals.get(address) ?? null,
      store: await this.#lookUpStored([...keys]),
    };
  }

  /** What the store has under some keys and was not purged. */
  async #lookUpStored(keys: readonly string[]): Promise<LookupReading["store"]> {
    const { store, kept } = this.#parts;
    if (store === undefined) return null;
    const { name } = store;
    const entries: StoredReading[] = [];
    for (const key of keys) {
      const found = await store.lookUp(key);
      if (found === undefined) return { name, isThere: false, entries: [] };
      for (const entry of found) {
        if (kept.purges.stateOf(entry) === "gone") continue;
        entries.push({ ...this.#show(entry), version: entry.version });
      }
    }
    return { name, isThere: true, entries };
  }

  /** Everything that is stored for an address, whatever else it is told apart by. */
  async #findAll(address: string): Promise<Entry[]> {
    const { memory, purges } = this.#parts.kept;
    const found: Entry[] = [];
    let looked = 0;
    for (const entry of memory.all()) {
      if (entry.url === address && purges.stateOf(entry) !== "gone") found.push(entry);
      if (++looked % ENTRIES_PER_TURN === 0) await nextTurn();
    }
    return found;
  }

  readonly #show = (entry: Entry): EntryReading => {
    const nowMs = this.#parts.host.clock.now();
    const isStale =
      ageMs(entry, nowMs) >= entry.freshMs || this.#parts.kept.purges.stateOf(entry) === "stale";
    const ttl = ttlSeconds(entry, nowMs);
    const vary: Record<string, string | null> = {};
    for (let i = 0; i < entry.vary.length; i += 2) {
      const value = entry.vary[i + 1]!;
      vary[entry.vary[i]!] = value === ABSENT ? null : value;
    }
    return {
      key: entry.key,
      status: entry.status,
      bytes: entry.body.length,
      ageSeconds: ageSeconds(entry, nowMs),
      ttlSeconds: isStale ? Math.min(0, ttl) : ttl,
      isFresh: !isStale,
      vary,
      tags: entry.tags,
    };
  };
}
