/** A data thread as the control thread sees it: told what to do, watched, ended. */
import { Worker } from "node:worker_threads";
import type { CheckedConfig } from "../config/checked.ts";
import type { DataThread, Prepared } from "../gateway.ts";
import type { RootLog } from "../observe/log.ts";
import { Profiler, profileWorker } from "../observe/profiling.ts";
import type { Snapshot } from "../observe/snapshot.ts";
import type { Feeds } from "../upstream/feed.ts";
import { type AnswerMessage, answerCall, Caller } from "./calls.ts";
import type {
  ControlThreadCalls,
  DataThreadCalls,
  DataThreadStart,
  FromDataThread,
  ToDataThread,
} from "./messages.ts";
import type { SocketStore } from "./sockets.ts";
import type { Watched } from "./stall-watch.ts";
import { followFeeds, sendFeeds } from "./remote-feed.ts";
import { Vitals } from "./vitals.ts";

/** Why a thread is no more: `exit` when it ended by itself, `memory` when its heap was full. */
export type DeathReason = "exit" | "memory" | "error" | "stall";

/** How a thread ended without being told to. */
export interface Death {
  readonly reason: DeathReason;
  readonly message: string;
}

/** How long a thread that is ended may take; code that V8 cannot interrupt goes on. */
const TERMINATE_MS = 2000;

export class WorkerThread implements DataThread, Watched {
  readonly number: number;
  readonly vitals: Vitals;
  /** When it was started, in milliseconds since the epoch. */
  readonly startedAt = Date.now();
  /** The same, as `performance.now()` counts. */
  readonly bornAt = performance.now();
  /** Resolves when it ended without being told to. */
  readonly death: Promise<Death>;
  readonly worker: Worker;
  readonly profiler: Profiler;
  readonly #caller: Caller<DataThreadCalls>;
  readonly #die: (death: Death) => void;
  /** For each configuration of which something is left: what to do when it is not. */
  readonly #retire = new Map<number, () => void>();
  readonly #gone = new AbortController();
  /** Whether it runs, and nobody has told it to end. */
  #isAlive = true;
  #building = 0;
  urls: string[] = [];
  /** Number of the configuration that it serves; 0 for none. */
  serves = 0;

  /**
   * @param entry the module that it runs
   * @param sockets who keeps those of this thread
   * @param calls what it may ask
   */
  constructor(
    entry: URL,
    start: DataThreadStart,
    log: Pick<RootLog, "append">,
    sockets: SocketStore,
    calls: ControlThreadCalls,
  ) {
    this.number = start.thread;
    this.vitals = new Vitals(start.vitals, start.thread);
    this.vitals.clear();
    this.worker = new Worker(entry, { name: `data-${start.thread}`, workerData: start });
    this.#caller = new Caller(this.worker);
    const writeHeap = (path: string): Promise<void> => this.#caller.call("writeHeap", path);
    this.profiler = new Profiler(profileWorker(this.worker, this.#gone.signal, writeHeap));
    const { promise, resolve } = Promise.withResolvers<Death>();
    this.death = promise;
    this.#die = resolve;
    this.worker.on("message", (message: FromDataThread) => {
      if ("log" in message) log.append(message.log);
      else if ("hold" in message) sockets.hold(message.hold, { fd: message.fd });
      else if ("drop" in message) sockets.drop(message.drop);
      else if ("call" in message) void answerCall(calls, message, this.worker);
      else if ("retired" in message) this.#retire.get(message.retired)?.();
      else this.#caller.onAnswer(message as AnswerMessage);
    });
    this.worker.on("error", (error: Error & { code?: string }) => {
      const reason = error.code === "ERR_WORKER_OUT_OF_MEMORY" ? "memory" : "error";
      this.#onDead({ reason, message: error?.message ?? String(error) });
    });
    this.worker.on("exit", (code) =>
      this.#onDead({ reason: "exit", message: `it ended with status ${code}` }),
    );
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  /** True while it builds a configuration: it may take long without being stuck. */
  get isBuilding(): boolean {
    return this.#building > 0;
  }

  usedMs(): Promise<number> {
    return this.worker.cpuUsage().then(({ user, system }) => (user + system) / 1000);
  }

  async prepare(
    config: CheckedConfig,
    number: number,
    feeds: Feeds,
    at?: readonly string[],
  ): Promise<Prepared> {
    this.#building++;
    const { promise: retired, resolve } = Promise.withResolvers<void>();
    const end = followFeeds(feeds, number, (feed) => this.#post({ feed }));
    const retire = (): void => {
      end();
      this.#retire.delete(number);
      resolve();
    };
    this.#retire.set(number, retire);
    try {
      const { urls } = await this.#caller.call("prepare", config, number, sendFeeds(feeds), at);
      return {
        urls,
        retired,
        activate: () => {
          this.urls = urls;
          this.serves = number;
          this.#post({ activate: number });
        },
        // One that is gone has nothing to discard.
        discard: () =>
          this.#caller
            .call("discard", number)
            .catch(() => {})
            .finally(retire),
      };
    } catch (error) {
      retire();
      throw error;
    } finally {
      this.#building--;
    }
  }

  async stop(drainMs: number, patient = false): Promise<number> {
    try {
      return await this.#caller.call("stop", drainMs, patient);
    } catch {
      return 0;
    } finally {
      await this.end();
    }
  }

  /** What it has counted. */
  snapshot(): Promise<Snapshot> {
    return this.#caller.call("snapshot");
  }

  inspect(collection: string): Promise<Record<string, object>> {
    return this.#caller.call("inspect", collection);
  }

  change(collection: string, id: string, patch: unknown): Promise<object | undefined> {
    return this.#caller.call("change", collection, id, patch);
  }

  ask(collection: string, id: string, question: unknown): Promise<object[]> {
    return this.#caller.call("ask", collection, id, question);
  }

  /** Declares it dead. */
  giveUp(reason: DeathReason, message: string): void {
    this.#onDead({ reason, message });
  }

  /**
   * Ends it at once.
   * @returns false when it did not end in time: it runs code that cannot be interrupted
   */
  async end(): Promise<boolean> {
    this.#isAlive = false;
    this.#gone.abort();
    this.#caller.fail(new Error(`the data thread ${this.number} was ended`));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), TERMINATE_MS);
    });
    const isEnded = await Promise.race([this.worker.terminate().then(() => true), late]);
    clearTimeout(timer);
    for (const retire of this.#retire.values()) retire();
    return isEnded;
  }

  #post(message: ToDataThread): void {
    this.worker.postMessage(message);
  }

  #onDead(death: Death): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#gone.abort();
    this.#caller.fail(new Error(`the data thread ${this.number} ended: ${death.message}`));
    this.#die(death);
  }
}
