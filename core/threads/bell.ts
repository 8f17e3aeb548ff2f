/** Wakes threads that wait for something that others do. */

/** Words from one thread's bell to the next: each has a cache line. */
const STRIDE = 16;

export class Bell {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #at: number;
  #rung: Promise<void> | undefined;

  static create(threads: number): SharedArrayBuffer {
    return new SharedArrayBuffer((threads + 1) * STRIDE * 4);
  }

  constructor(memory: SharedArrayBuffer, thread: number) {
    this.#words = new Int32Array(memory);
    this.#at = thread * STRIDE;
  }

  ring(thread: number): void {
    Atomics.add(this.#words, thread * STRIDE, 1);
    Atomics.notify(this.#words, thread * STRIDE);
  }

  /** Resolves at the next ring for this thread. It keeps no process alive. */
  rung(): Promise<void> {
    this.#rung ??= this.#wait();
    return this.#rung;
  }

  async #wait(): Promise<void> {
    await Atomics.waitAsync(this.#words, this.#at, Atomics.load(this.#words, this.#at)).value;
    this.#rung = undefined;
  }
}
