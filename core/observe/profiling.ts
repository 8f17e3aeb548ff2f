/** Takes CPU profiles and heap snapshots of threads, in the formats that Chrome DevTools reads. */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { startCpuProfile, writeHeapSnapshot } from "node:v8";
import type { Worker } from "node:worker_threads";

/** Time between two looks at the stack. */
const SAMPLE_MS = 1;
/** The longest that a thread may take to write down its heap. */
const HEAP_MS = 120_000;

/** A thread that can be profiled. */
export interface ProfiledThread {
  /** Aborts when the thread ends; undefined for one that cannot. */
  readonly gone: AbortSignal | undefined;
  /** Begins a CPU profile; works while the thread is busy too. `stop` gives the text of a .cpuprofile. */
  startCpuProfile(): Promise<{ stop(): Promise<string> }>;
  /** Writes all that is in its memory to a new file. The thread does nothing else meanwhile. */
  writeHeap(path: string): Promise<void>;
}

/** What is in the memory of a thread, as a stream whose end is known. */
export interface HeapSnapshot {
  readonly bytes: number;
  readonly stream: Readable;
}

/** Why there is no profile, in words for people: `busy` while another is being taken, `gone` when the thread ended. */
export class NotProfiled extends Error {
  override readonly name = "NotProfiled";
  readonly reason: "busy" | "gone";

  constructor(reason: "busy" | "gone") {
    super(
      reason === "busy" ? "another profile of this thread is being taken" : "the thread has ended meanwhile",
    );
    this.reason = reason;
  }
}

/** Profiles one thread, one at a time. */
export class Profiler {
  readonly #thread: ProfiledThread;
  #isBusy = false;

  constructor(thread: ProfiledThread) {
    this.#thread = thread;
  }

  /**
   * What the thread spends its time on; less than was asked for when it ends before.
   * @param signal ends it before its time; what was found by then is lost
   * @throws NotProfiled
   */
  cpuProfile(ms: number, signal: AbortSignal): Promise<string> {
    return this.#alone(async () => {
      const profile = await this.#whileThere(this.#thread.startCpuProfile());
      await pause(ms, [signal, this.#thread.gone]);
      const hasEnded = this.#thread.gone?.aborted === true;
      const text = await (hasEnded ? profile.stop() : this.#whileThere(profile.stop()));
      signal.throwIfAborted();
      return text;
    });
  }

  /**
   * All that is in the memory of the thread, secrets too. It goes through a file in the folder for temporary files:
   * the text is larger than the memory that it tells of.
   * @throws NotProfiled
   */
  heapSnapshot(): Promise<HeapSnapshot> {
    return this.#alone(async () => {
      const folder = await mkdtemp(join(tmpdir(), "sluice-heap-"));
      try {
        const path = join(folder, "snapshot");
        await this.#whileThere(this.#thread.writeHeap(path));
        const file = await open(path);
        const { size } = await file.stat();
        return { bytes: size, stream: file.createReadStream() };
      } finally {
        await rm(folder, { recursive: true, force: true }); // what is open can still be read
      }
    });
  }

  /** What is asked of a thread; not all that is asked of one that ends, or has ended before, is answered. */
  async #whileThere<T>(asked: Promise<T>): Promise<T> {
    const { gone } = this.#thread;
    if (gone === undefined) return await asked;
    asked.catch(() => {});
    const left = Promise.withResolvers<never>();
    const leave = (): void => left.reject(new NotProfiled("gone"));
    gone.addEventListener("abort", leave);
    if (gone.aborted) leave();
    try {
      return await Promise.race([asked, left.promise]);
    } finally {
      gone.removeEventListener("abort", leave);
    }
  }

  async #alone<T>(take: () => Promise<T>): Promise<T> {
    if (this.#isBusy) throw new NotProfiled("busy");
    this.#isBusy = true;
    try {
      return await take();
    } catch (error) {
      if (this.#thread.gone?.aborted === true) throw new NotProfiled("gone");
      throw error;
    } finally {
      this.#isBusy = false;
    }
  }
}

/**
 * Tells whoever watches a thread that it will give no sign of life for up to so many milliseconds; 0 when that is over.
 */
export type Excuse = (ms: number) => void | Promise<void>;

/** The thread that this runs in. */
export function profileOwnThread(excuse: Excuse = () => {}): ProfiledThread {
  return {
    gone: undefined,
    async startCpuProfile() {
      const profile = startCpuProfile({ sampleInterval: SAMPLE_MS });
      return { stop: async () => profile.stop() };
    },
    async writeHeap(path) {
      await excuse(HEAP_MS);
      try {
        writeHeapSnapshot(path);
      } finally {
        await excuse(0);
      }
    },
  };
}

/**
 * Another thread. Its heap is not asked for by `worker.getHeapSnapshot()`: that ends the process when the thread ends
 * before all was read, and keeps the whole text in memory.
 * @param writeHeap has the thread do it itself, by {@link profileOwnThread}
 */
export function profileWorker(
  worker: Worker,
  gone: AbortSignal,
  writeHeap: (path: string) => Promise<void>,
): ProfiledThread {
  return {
    gone,
    startCpuProfile: () => worker.startCpuProfile({ sampleInterval: SAMPLE_MS }),
    writeHeap,
  };
}

/** Resolves when the time is over or one of the signals aborts. */
function pause(ms: number, signals: readonly (AbortSignal | undefined)[]): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    for (const signal of signals) signal?.addEventListener("abort", end);
    if (signals.some((signal) => signal?.aborted)) end();
  });
}
