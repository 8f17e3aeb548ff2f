/** The second level in Redis. Nobody waits for a store that is known to be away, and nothing here ever fails. */
import type { Clock, KeyValueStore, Log, ScriptArgument, StoreHealth } from "../../../core/plugin.ts";
import type { Entry } from "../entry.ts";
import { isOfChanged } from "../invalidation.ts";
import { firstLineOf, isOneOfMany } from "../key.ts";
import { type Claim, type FieldOf, NEITHER, type Purges, type StoreLevel, type Turn } from "../level.ts";
import { isFor } from "../vary.ts";
import { decodeEntry, encodeEntry, HEAD_BYTES } from "./entry-codec.ts";
import { lifetimeOf } from "./lifetime.ts";
import { lookUpAll } from "./look-up.ts";
import { Notes, untilNextLookMs } from "./notes.ts";
import type { PurgeLog } from "./purge-log.ts";
import { CHANGE, CLAIM, DELETE, DROP, HELD, PUT, YOURS } from "./scripts.ts";
import { type Answer, StoreCaller } from "./store-caller.ts";
import {
  DIGEST_LENGTH,
  digestOf,
  lockOf,
  markerOf,
  markOf,
  readMarker,
  urlDigestOf,
  variantFor,
  variantOf,
} from "./store-keys.ts";
import type { StoreStats } from "./store-stats.ts";
import { LOCK_MS, StoreTurn, Turns } from "./turns.ts";

/** Bodies that may be on their way: what a store that has become slow holds in memory. */
const MOST_BYTES_UNDER_WAY = 32 * 1024 ** 2;

export interface RedisLevelOptions {
  /** What all keys begin with. */
  readonly scope: string;
  readonly store: KeyValueStore;
  readonly purgeLog: PurgeLog;
  readonly purges: Pick<Purges, "stateOf">;
  readonly health: StoreHealth;
  readonly stats: StoreStats;
  readonly clock: Clock;
  readonly log: Log;
  /** Bodies with more bytes are compressed. */
  readonly compressAbove: number;
  /** Most variants of a key. */
  readonly variants: number;
  /** First time after which somebody who waits looks, though nothing was told. */
  readonly lookAfterMs?: number;
}

/** What became of an entry. `unfit` is nothing for a store; what is `unavailable` may be tried again. */
export type Written = "stored" | "unfit" | "refused" | "unavailable";

/** An entry on its way. */
interface Write {
  readonly key: string;
  readonly url: string;
  readonly over: PromiseWithResolvers<void>;
  isOff: boolean;
}

export class RedisLevel implements StoreLevel {
  readonly #options: RedisLevelOptions;
  readonly #notes: Notes;
  readonly #caller: StoreCaller;
  readonly #turns: Turns;
  readonly #writes = new Set<Write>();
  #bytesUnderWay = 0;

  constructor(options: RedisLevelOptions) {
    this.#options = options;
    this.#notes = new Notes(options.store, options.scope);
    this.#caller = new StoreCaller(options);
    this.#turns = new Turns(options.store, this.#caller);
  }

  close(): void {
    this.#turns.close();
    this.#notes.close();
  }

  async find(key: string, fieldOf: FieldOf): Promise<Entry | undefined> {
    if (!(await this.#isUsable())) return undefined;
    const name = this.#nameOf(key);
    const value = await this.#load(name, name);
    const names = value && readMarker(value);
    if (names === undefined) return value && this.#read(value, key, name, fieldOf);
    const place = name + variantFor(names, fieldOf);
    const variant = await this.#load(name, place);
    return variant && this.#read(variant, key, place, fieldOf);
  }

  /** All that is there for a key, whoever it is for, purged or not. @returns undefined when the store does not answer */
  lookUp(key: string): Promise<Entry[] | undefined> {
    const name = this.#nameOf(key);
    return lookUpAll((place) => this.#caller.ask(name, () => this.#options.store.getBytes(place)), key, name);
  }

  async claim(key: string, fieldOf: FieldOf, waitMs: number, than?: Entry): Promise<Claim> {
    if (!(await this.#isUsable())) return NEITHER;
    const { clock, stats, lookAfterMs } = this.#options;
    const until = clock.monotonic() + waitMs;
    const listener = this.#notes.listen(urlDigestOf(key));
    const unwanted = new Map<string, Buffer>();
    try {
      for (let looks = 0; ; looks++) {
        const claim = await this.#claimOnce(key, fieldOf, than, unwanted);
        if (claim !== undefined) return claim;
        const leftMs = until - clock.monotonic();
        if (leftMs <= 0) return NEITHER;
        if (looks === 0) stats.waits++;
        await listener.wait(untilNextLookMs(looks, leftMs, lookAfterMs));
      }
    } finally {
      listener.close();
    }
  }

  async put(entry: Entry, turn?: Turn): Promise<void> {
    this.settle(await this.write(entry, turn), turn);
  }

  async delete(key: string): Promise<void> {
    await this.#endWrites((write) => write.key === key);
    const name = this.#nameOf(key);
    await this.#caller.ask(name, () => this.#options.store.run(DELETE, [name], []));
  }

  async change(key: string, url: string): Promise<void> {
    const { store, scope, purgeLog } = this.#options;
    await this.#endWrites((write) => isOfChanged(write, key, url));
    const name = this.#nameOf(key);
    const keys = [scope + markOf(key), lockOf(name), name, this.#nameOf(firstLineOf(key))];
    const answer = await this.#caller.ask(name, () => store.run(CHANGE, keys, []));
    const purge = { kind: "url", value: url, soft: false } as const;
    if (typeof answer === "string") purgeLog.appendLater(purge, scope);
    else if (answer.value === 1) await purgeLog.append(purge, scope);
  }

  /** A script that Redis does not know yet is sent twice, so that calls may change places: waits for those under way. */
  async #endWrites(isMeant: (write: Write) => boolean): Promise<void> {
    const own = [...this.#writes].filter(isMeant);
    for (const write of own) write.isOff = true;
    await Promise.all(own.map(({ over }) => over.promise));
  }

  /** Writes an entry. A turn ends when it is stored; otherwise whoever asked is to {@link settle} it. */
  async write(entry: Entry, turn?: Turn): Promise<Written> {
    const { clock, compressAbove, scope, store, stats, variants } = this.#options;
    const bytes = entry.body.length;
    const ttlMs = lifetimeOf(entry, clock.now());
    if (entry.part !== undefined || ttlMs <= 0) return "unfit";
    if (this.#bytesUnderWay > 0 && this.#bytesUnderWay + bytes > MOST_BYTES_UNDER_WAY) return "unavailable";
    const write: Write = { key: entry.key, url: entry.url, over: Promise.withResolvers(), isOff: false };
    this.#writes.add(write);
    this.#bytesUnderWay += bytes;
    try {
      const value = await encodeEntry(entry, compressAbove);
      if (write.isOff) return "unfit";
      const name = this.#nameOf(entry.key);
      const own = turn instanceof StoreTurn && !turn.isOver ? turn : undefined;
      const answer = await this.#caller.ask(name, () =>
        store.run(
          PUT,
          [name, own?.lock ?? lockOf(name), ...(isOneOfMany(entry.key) ? [scope + markOf(entry.key)] : [])],
          [value, ttlMs, markerOf(entry), variantOf(entry.vary), variants, own?.token ?? "", DIGEST_LENGTH],
        ),
      );
      if (typeof answer === "string") return answer === "refused" ? "refused" : "unavailable";
      own?.end();
      stats.bytes.written += value.length;
      return "stored";
    } finally {
      this.#writes.delete(write);
      write.over.resolve();
      this.#bytesUnderWay -= bytes;
    }
  }

  /** Counts what became of an entry for good; nobody waits for it any more. */
  settle(written: Written, turn: Turn | undefined): void {
    if (written !== "unfit") this.#options.stats.writes[written === "stored" ? "stored" : "failed"]++;
    turn?.abandon();
  }

  /**
   * @param unwanted how values begin, by place, that were looked at and are not wanted: they need not come again
   * @returns undefined when somebody else has the lock
   */
  async #claimOnce(
    key: string,
    fieldOf: FieldOf,
    than: Entry | undefined,
    unwanted: Map<string, Buffer>,
  ): Promise<Claim | undefined> {
    const { store, stats } = this.#options;
    const name = this.#nameOf(key);
    let place = name;
    for (;;) {
      const turn: StoreTurn = new StoreTurn(this.#turns, lockOf(place));
      const args: ScriptArgument[] = [turn.token, LOCK_MS, unwanted.get(place) ?? ""];
      const answer: Answer<unknown> = await this.#caller.ask(name, () =>
        store.runForBytes(CLAIM, [place, turn.lock], args),
      );
      if (typeof answer === "string") {
        stats.lookups[answer === "away" ? "skipped" : "error"]++;
        return NEITHER;
      }
      const value: unknown = answer.value;
      if (value === HELD) return undefined;
      if (!(value instanceof Buffer)) {
        stats.lookups.miss++;
        if (value !== YOURS) return NEITHER;
        this.#turns.hold(turn);
        return { entry: undefined, turn, ...(place !== name && { hasOthers: true }) };
      }
      stats.bytes.read += value.length;
      const names = place === name ? readMarker(value) : undefined;
      if (names !== undefined) {
        place = name + variantFor(names, fieldOf);
        continue;
      }
      const entry = await this.#read(value, key, place, fieldOf);
      if (entry !== undefined && entry.respondedAtMs > (than?.respondedAtMs ?? 0)) {
        return { entry, turn: undefined };
      }
      unwanted.set(place, value.subarray(0, HEAD_BYTES));
    }
  }

  /** Purges must be known: what was purged is not to be found. */
  async #isUsable(): Promise<boolean> {
    const { purgeLog, stats } = this.#options;
    if (purgeLog.settled !== undefined) await purgeLog.settled;
    if (purgeLog.isTrusted) return true;
    stats.lookups.skipped++;
    return false;
  }

  async #load(name: string, place: string): Promise<Buffer | undefined> {
    const { store, stats } = this.#options;
    const answer = await this.#caller.ask(name, () => store.getBytes(place));
    if (answer === "refused") this.#drop(place, "something else");
    else if (answer === "away") stats.lookups.skipped++;
    else if (answer === "unavailable") stats.lookups.error++;
    else if (answer.value === undefined) stats.lookups.miss++;
    else {
      stats.bytes.read += answer.value.length;
      return answer.value;
    }
    return undefined;
  }

  async #read(value: Buffer, key: string, place: string, fieldOf: FieldOf): Promise<Entry | undefined> {
    const { purgeLog, purges, stats } = this.#options;
    const entry = await decodeEntry(value, key);
    if (entry === undefined) {
      this.#drop(place, value.subarray(0, HEAD_BYTES));
      return undefined;
    }
    const isUsable =
      entry.version >= purgeLog.floor && isFor(entry, fieldOf) && purges.stateOf(entry) !== "gone";
    stats.lookups[isUsable ? "hit" : "unusable"]++;
    return isUsable ? entry : undefined;
  }

  #drop(place: string, head: Buffer | string): void {
    const { store, stats } = this.#options;
    stats.lookups.corrupt++;
    void this.#caller.ask(place, () => store.run(DROP, [place], [head]));
  }

  #nameOf(key: string): string {
    return this.#options.scope + digestOf(key);
  }
}
