/** The memory that all threads of a gateway see. It is made once, and its handle is given to each thread. */
import { randomUUID } from "node:crypto";
import { monotonicMs } from "../clock.ts";
import type { SharedState } from "../plugin.ts";
import { Bell } from "./bell.ts";
import { CellTable, type CellTableSize } from "./cell-table.ts";
import { type ChannelListener, type ThreadChannel, ThreadChannels } from "./thread-channel.ts";

const COUNTERS: CellTableSize = { capacity: 65_536, cellWords: 4 };
const CIRCUITS: CellTableSize = { capacity: 4096, cellWords: 64 };
const LIMITS: CellTableSize = { capacity: 2 ** 21, cellWords: 4 };
const LOGS: CellTableSize = { capacity: 131_072, cellWords: 60 };
const DIRECTORY: CellTableSize = { capacity: 2 ** 18, cellWords: 2 };
const holdingsOf = (threads: number): CellTableSize => ({ capacity: 65_536, cellWords: 2 * threads });

/** What another thread needs to see the same memory. */
export interface SharedMemoryHandle {
  readonly threads: number;
  /** What its threads call their line to each other. */
  readonly line: string;
  readonly counters: SharedArrayBuffer;
  readonly circuits: SharedArrayBuffer;
  readonly holdings: SharedArrayBuffer;
  readonly limits: SharedArrayBuffer;
  readonly logs: SharedArrayBuffer;
  readonly directory: SharedArrayBuffer;
  readonly utcOffsetMs: number;
  readonly bells: SharedArrayBuffer;
}

/**
 * Makes the memory of a gateway with so many data threads.
 * @param nowMs what the clock's monotonic milliseconds are
 * @param wallMs what they are since the Unix epoch
 */
export function createSharedMemory(
  threads: number,
  nowMs = monotonicMs(),
  wallMs = Date.now(),
): SharedMemoryHandle {
  return {
    threads,
    line: randomUUID(),
    counters: CellTable.create(COUNTERS, threads, nowMs),
    circuits: CellTable.create(CIRCUITS, threads, nowMs),
    holdings: CellTable.create(holdingsOf(threads), threads, nowMs),
    limits: CellTable.create(LIMITS, threads, nowMs),
    logs: CellTable.create(LOGS, threads, nowMs),
    directory: CellTable.create(DIRECTORY, threads, nowMs),
    utcOffsetMs: Math.round(wallMs - nowMs),
    bells: Bell.create(threads),
  };
}

export class SharedMemory implements SharedState {
  readonly thread: number;
  readonly threads: number;
  readonly counters: CellTable;
  readonly circuits: CellTable;
  readonly holdings: CellTable;
  readonly limits: CellTable;
  readonly logs: CellTable;
  readonly directory: CellTable;
  readonly utcOffsetMs: number;
  /** All tables, by the names that metrics have for them. */
  readonly tables: Readonly<Record<string, CellTable>>;
  readonly #bell: Bell;
  readonly #channels: ThreadChannels;

  /**
   * @param thread number of the thread that uses it, from 0; the number of data threads for the control thread. No two
   *   that run have the same: one that takes the place of another is opened when the other has ended.
   */
  constructor(handle: SharedMemoryHandle, thread: number) {
    const { threads } = handle;
    this.thread = thread;
    this.threads = threads;
    this.counters = new CellTable(handle.counters, COUNTERS, threads, thread);
    this.circuits = new CellTable(handle.circuits, CIRCUITS, threads, thread);
    this.holdings = new CellTable(handle.holdings, holdingsOf(threads), threads, thread);
    this.limits = new CellTable(handle.limits, LIMITS, threads, thread);
    this.logs = new CellTable(handle.logs, LOGS, threads, thread);
    this.directory = new CellTable(handle.directory, DIRECTORY, threads, thread);
    this.utcOffsetMs = handle.utcOffsetMs;
    const { counters, circuits, holdings, limits, logs, directory } = this;
    this.tables = { counters, circuits, holdings, limits, logs, directory };
    this.#bell = new Bell(handle.bells, thread);
    this.#channels = new ThreadChannels(handle.line, thread, threads);
  }

  ring(thread: number): void {
    this.#bell.ring(thread);
  }

  rung(): Promise<void> {
    return this.#bell.rung();
  }

  openChannel(topic: string, listener: ChannelListener): ThreadChannel {
    return this.#channels.open(topic, listener);
  }

  /** Gives back what a thread held that has ended, before another gets its number, and tells the others. */
  forgetThread(thread: number): void {
    this.holdings.erase(2 * thread, 2);
    this.#channels.tellGone(thread);
    for (let i = 0; i < this.threads; i++) this.ring(i);
  }
}
