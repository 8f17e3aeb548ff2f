/**
 * What a data thread lets others see of itself while it runs, and after it stopped doing so: each writes its own
 * words, whoever wants to know reads them. Nothing is sent, so that a thread that hangs can be looked at too.
 */

const BYTES = 64;
/** Places in a thread's part. */
const BEAT_AT = 0;
const GENERATION = 2;
const ROUTE = 3;
const SCRIPT = 4;
const CALL = 5;
const CALLED_AT = 3;
const SYSTEM_ID = 8;

/** A call of a script that is under way. */
export interface RunningScript {
  /** Number of the script, see `scriptId`. */
  readonly id: number;
  /** Differs from that of the call before. */
  readonly sequence: number;
  /** When it began, in monotonic milliseconds. */
  readonly sinceMs: number;
}

/** The memory for so many threads. */
export function createVitals(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer(threads * BYTES);
}

/** Those of all threads that there is memory for. */
export function allVitals(memory: SharedArrayBuffer): Vitals[] {
  return Array.from({ length: memory.byteLength / BYTES }, (_, thread) => new Vitals(memory, thread));
}

export class Vitals {
  readonly #times: Float64Array;
  readonly #words: Int32Array;

  /** @param thread number of the thread that this is about, from 0 */
  constructor(memory: SharedArrayBuffer, thread: number) {
    this.#times = new Float64Array(memory, thread * BYTES, BYTES / 8);
    this.#words = new Int32Array(memory, thread * BYTES, BYTES / 4);
  }

  /** When the thread's event loop last came round, in monotonic milliseconds; 0 before it ever did. */
  get beatAt(): number {
    return this.#times[BEAT_AT]!;
  }

  beat(now: number): void {
    this.#times[BEAT_AT] = now;
  }

  /** What the system calls the thread, see `ownSystemId`; 0 when that is not known. */
  get systemId(): number {
    return this.#words[SYSTEM_ID]!;
  }

  set systemId(id: number) {
    this.#words[SYSTEM_ID] = id;
  }

  /** The route of the request that began last: its generation, and its place there. Undefined before the first. */
  get lastRoute(): { generation: number; route: number } | undefined {
    const generation = this.#words[GENERATION]!;
    return generation === 0 ? undefined : { generation, route: this.#words[ROUTE]! };
  }

  /** A request of this route begins. */
  begin(generation: number, route: number): void {
    this.#words[ROUTE] = route;
    this.#words[GENERATION] = generation;
  }

  /**
   * The call of a script that this thread runs now. Who sees the same one twice, some time apart, can rely on it: of
   * one that begins at this moment, the parts may not be there yet.
   */
  get runningScript(): RunningScript | undefined {
    const id = this.#words[SCRIPT]!;
    return id === 0 ? undefined : { id, sequence: this.#words[CALL]!, sinceMs: this.#times[CALLED_AT]! };
  }

  /** A script begins to run, and keeps the thread until {@link leaveScript}. */
  enterScript(id: number, now: number): void {
    this.#times[CALLED_AT] = now;
    this.#words[CALL] = this.#words[CALL]! + 1;
    this.#words[SCRIPT] = id;
  }

  leaveScript(): void {
    this.#words[SCRIPT] = 0;
  }

  /** Forgets everything, for a thread that takes the place of another. */
  clear(): void {
    this.#words.fill(0);
  }
}
