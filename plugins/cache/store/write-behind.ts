/**
 * Writes entries behind: nobody waits for the store, and when it is away they are kept until it is back, within a bound of
 * bytes. What was put last for the same place is written, in the order of putting, many at a time.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock, Log } from "../../../core/plugin.ts";
import { bytesOf, type Entry } from "../entry.ts";
import { isOfChanged } from "../invalidation.ts";
import type { Claim, FieldOf, StoreLevel, Turn } from "../level.ts";
import type { RedisLevel } from "./redis-level.ts";
import type { StoreStats } from "./store-stats.ts";

/** Entries of a thread and a stage that may wait; their bodies are mostly those of the first level. */
const MOST_BYTES = 32 * 1024 ** 2;
const BATCH = 64;
/** Time until a store that had no answer is tried again. */
const RETRY_MS = 250;
/** Longest that a generation waits on closing until all is written. */
const FLUSH_MS = 5000;

interface Waiting {
  readonly entry: Entry;
  readonly turn: Turn | undefined;
  readonly bytes: number;
}

export interface WriteBehindOptions {
  readonly level: RedisLevel;
  readonly stats: StoreStats;
  readonly clock: Clock;
  readonly log: Log;
  readonly mostBytes?: number;
  readonly flushMs?: number;
}

export class WriteBehind implements StoreLevel {
  readonly #options: WriteBehindOptions;
  readonly #mostBytes: number;
  /** In the order of putting, by what tells the place from others. */
  readonly #waiting = new Map<string, Waiting>();
  #bytes = 0;
  #writing: Promise<void> | undefined;
  #givesUpAt = Number.POSITIVE_INFINITY;

  constructor(options: WriteBehindOptions) {
    this.#options = options;
    this.#mostBytes = options.mostBytes ?? MOST_BYTES;
  }

  /** Entries that wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  find(key: string, fieldOf: FieldOf): Promise<Entry | undefined> {
    return this.#options.level.find(key, fieldOf);
  }

  claim(key: string, fieldOf: FieldOf, waitMs: number, than?: Entry): Promise<Claim> {
    return this.#options.level.claim(key, fieldOf, waitMs, than);
  }

  async put(entry: Entry, turn?: Turn): Promise<void> {
    const place = placeOf(entry);
    this.#take(place)?.turn?.abandon();
    const bytes = bytesOf(entry);
    this.#waiting.set(place, { entry, turn, bytes });
    this.#bytes += bytes;
    for (const [oldest] of this.#waiting) {
      if (this.#bytes <= this.#mostBytes) break;
      this.#take(oldest)!.turn?.abandon();
      this.#options.stats.writes.dropped++;
    }
    this.#writing ??= this.#writeAll();
  }

  delete(key: string): Promise<void> {
    this.#giveUp((entry) => entry.key === key);
    return this.#options.level.delete(key);
  }

  change(key: string, url: string): Promise<void> {
    this.#giveUp((entry) => isOfChanged(entry, key, url));
    return this.#options.level.change(key, url);
  }

  #giveUp(isMeant: (entry: Entry) => boolean): void {
    for (const [place, { entry, turn }] of this.#waiting) {
      if (!isMeant(entry)) continue;
      this.#take(place);
      turn?.abandon();
    }
  }

  /** Waits until all is written, though not for long. */
  async close(): Promise<void> {
    const { clock, log, flushMs = FLUSH_MS } = this.#options;
    this.#givesUpAt = clock.monotonic() + flushMs;
    await this.#writing;
    if (this.#waiting.size === 0) return;
    log.warn({ entries: this.#waiting.size }, "entries of a cache are not written to its store: it is away");
  }

  #take(place: string): Waiting | undefined {
    const waiting = this.#waiting.get(place);
    if (waiting === undefined) return undefined;
    this.#waiting.delete(place);
    this.#bytes -= waiting.bytes;
    return waiting;
  }

  async #writeAll(): Promise<void> {
    const { level, clock } = this.#options;
    await sleep(0); // what is put in the same turn is written together
    while (this.#waiting.size > 0 && clock.monotonic() < this.#givesUpAt) {
      const batch = this.#waiting.entries().take(BATCH).toArray();
      const written = await Promise.all(batch.map(([, { entry, turn }]) => level.write(entry, turn)));
      for (const [i, [place, waiting]] of batch.entries()) {
        if (written[i] === "unavailable") continue;
        level.settle(written[i]!, waiting.turn);
        if (this.#waiting.get(place) === waiting) this.#take(place);
      }
      if (written.includes("unavailable")) await sleep(RETRY_MS);
    }
    this.#writing = undefined;
  }
}

function placeOf({ key, vary }: Entry): string {
  return vary.length === 0 ? key : `${key}\n${vary.join("\n")}`;
}
