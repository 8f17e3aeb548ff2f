/**
 * The purges of a cache on all threads of a gateway. All have the same numbers for them, so that an entry which goes
 * from one thread to another says what it was asked for under.
 */
import type { ChannelListener, Clock, SharedCells, SharedState, ThreadChannel } from "../../core/plugin.ts";
import type { Purge, PurgeRecord } from "./level.ts";
import { PurgeTable } from "./purges.ts";

/** As long as a cell can stay: the last number must not be forgotten. */
const FOREVER_MS = 5 * 365 * 86_400_000;
/** All threads are asked within this time. */
const ASKED_MS = 60_000;
/** In the cell of a purge whose number is being taken. */
const TAKING = -1n;
/** Some milliseconds. */
const MOST_LOOKS = 1_000_000;

export class ThreadPurges implements ChannelListener {
  readonly table: PurgeTable;
  readonly #scope: string;
  readonly #clock: Clock;
  readonly #cells: SharedCells;
  readonly #channel: ThreadChannel;

  /** @param scope names the cache: the same on all threads */
  constructor(scope: string, shared: SharedState, clock: Clock) {
    this.#scope = scope;
    this.#clock = clock;
    this.#cells = shared.counters;
    const last = this.#locate("", FOREVER_MS);
    this.table = new PurgeTable(last === -1 ? 0 : Number(Atomics.load(this.#cells.longs, last)));
    this.#channel = shared.openChannel(`purges ${scope}`, this);
  }

  close(): void {
    this.#channel.close();
  }

  /** Makes a purge known here, and to the other threads. */
  spread(purge: Purge): void {
    const record = { ...purge, number: this.#next() };
    this.table.apply(record);
    this.#channel.post(record);
  }

  /** Makes a purge known here that the other threads are told of as well. @param id the same on all of them */
  apply(purge: Purge, id: string): void {
    this.table.apply({ ...purge, number: this.#numberOf(id) });
  }

  /** Has the other threads know a purge that has no number yet, because the store that gives them is away. */
  warn(purge: Purge): void {
    this.#channel.post(purge);
  }

  onMessage(message: unknown): void {
    const purge = message as Purge & Partial<PurgeRecord>;
    this.table.apply({ ...purge, number: purge.number ?? this.table.version + 1 });
  }

  /** The number of a purge: whoever asks first takes it. */
  #numberOf(id: string): number {
    const { longs } = this.#cells;
    const cell = this.#locate(` ${id}`, ASKED_MS);
    if (cell === -1) return this.#next();
    if (Atomics.compareExchange(longs, cell, 0n, TAKING) === 0n) {
      Atomics.store(longs, cell, BigInt(this.#next()));
    }
    let number = Atomics.load(longs, cell);
    // For as long as another thread takes for a few instructions; one that was ended meanwhile has left it so.
    for (let i = 0; number === TAKING && i < MOST_LOOKS; i++) number = Atomics.load(longs, cell);
    return number === TAKING ? this.#next() : Number(number);
  }

  #next(): number {
    const { longs } = this.#cells;
    const { version } = this.table;
    const cell = this.#locate("", FOREVER_MS);
    if (cell === -1) return version + 1;
    for (;;) {
      const last = Atomics.load(longs, cell);
      const next = Math.max(Number(last), version) + 1;
      if (Atomics.compareExchange(longs, cell, last, BigInt(next)) === last) return next;
    }
  }

  /** Where the number in a cell is; -1 when there is no room for one. */
  #locate(name: string, ttlMs: number): number {
    const key = `purges ${this.#scope}${name}`;
    const cell = this.#cells.locate(key, ttlMs, this.#clock.monotonic());
    return cell === -1 ? -1 : cell / 2;
  }
}
