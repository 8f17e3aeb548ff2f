/** What the targets of an upstream have in common, in memory that all threads see. */
import { forgetLane } from "./target-record.ts";

/** Offsets in words of 32 bits. */
const SERIAL = 0;
/** Grows whenever something changed that decides which targets are used, and how much. */
const VERSION = 1;
/** Requests under way to all targets, of all threads. */
const IN_FLIGHT = 2;
/** Number of the thread that ejects a target just now, from 1; 0 for none. */
const LOCK = 3;
/** Requests under way of each thread: a word that only this thread writes. */
const LANES = 4;

/** Makes the memory of an upstream. @param serial tells it from an earlier one of the same name */
export function createUpstreamRecord(serial: number, threads: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(4 * (LANES + threads));
  new Int32Array(memory)[SERIAL] = serial;
  return memory;
}

export class UpstreamRecord {
  readonly memory: SharedArrayBuffer;
  /** Number of the thread that uses it, from 0. */
  readonly thread: number;
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #lane: number;

  constructor(memory: SharedArrayBuffer, thread: number) {
    this.memory = memory;
    this.thread = thread;
    this.#words = new Int32Array(memory);
    this.#lane = LANES + thread;
  }

  /** Tells it from an earlier one of the same name. */
  get serial(): number {
    return this.#words[SERIAL]!;
  }

  /** What is read after it is at least as new. */
  get version(): number {
    return Atomics.load(this.#words, VERSION);
  }

  /** Whether the version is this one; cheaper, and true for a moment longer. */
  isAt(version: number | undefined): boolean {
    return this.#words[VERSION] === version;
  }

  /** Something changed. */
  changed(): void {
    Atomics.add(this.#words, VERSION, 1);
  }

  /** Requests under way to all targets together. */
  get inFlight(): number {
    return this.#words[IN_FLIGHT]!;
  }

  startRequest(): void {
    Atomics.add(this.#words, IN_FLIGHT, 1);
    this.#words[this.#lane]!++;
  }

  endRequest(): void {
    Atomics.sub(this.#words, IN_FLIGHT, 1);
    this.#words[this.#lane]!--;
  }

  /** Begins an ejection, unless another thread is at one; never waits. */
  tryLock(): boolean {
    return Atomics.compareExchange(this.#words, LOCK, 0, this.thread + 1) === 0;
  }

  unlock(): void {
    Atomics.store(this.#words, LOCK, 0);
  }

  /** Takes back what a thread held that is no more. */
  forgetThread(thread: number): void {
    forgetLane(this.#words, IN_FLIGHT, LANES + thread);
    Atomics.compareExchange(this.#words, LOCK, thread + 1, 0);
    this.changed();
  }
}
