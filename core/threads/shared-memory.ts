/** The memory that all threads of a gateway see. It is made once, and its handle is given to each thread. */
import type { SharedState } from "../plugin.ts";
import { CellTable, type CellTableSize } from "./cell-table.ts";

const COUNTERS: CellTableSize = { capacity: 65_536, cellWords: 4 };
const CIRCUITS: CellTableSize = { capacity: 4096, cellWords: 64 };

/** What another thread needs to see the same memory. */
export interface SharedMemoryHandle {
  readonly threads: number;
  readonly counters: SharedArrayBuffer;
  readonly circuits: SharedArrayBuffer;
}

/** Makes the memory of a gateway with so many data threads. */
export function createSharedMemory(threads: number): SharedMemoryHandle {
  return {
    threads,
    counters: new SharedArrayBuffer(CellTable.bytes(COUNTERS)),
    circuits: new SharedArrayBuffer(CellTable.bytes(CIRCUITS)),
  };
}

export class SharedMemory implements SharedState {
  readonly thread: number;
  readonly threads: number;
  readonly counters: CellTable;
  readonly circuits: CellTable;

  /** @param thread number of the thread that uses it, from 0 */
  constructor(handle: SharedMemoryHandle, thread: number) {
    this.thread = thread;
    this.threads = handle.threads;
    this.counters = new CellTable(handle.counters, COUNTERS);
    this.circuits = new CellTable(handle.circuits, CIRCUITS);
  }
}
