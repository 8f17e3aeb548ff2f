/** The watchdog as the control thread has it: a thread that is started when there are scripts, and told their names. */
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { CheckedConfig } from "../config/checked.ts";
import type { Log } from "../exchange.ts";
import type { ScriptName, ScriptNames } from "./names.ts";

/** What the watchdog begins with. */
export interface WatchdogStart {
  /** Of all data threads. */
  readonly vitals: SharedArrayBuffer;
  /** One word: not zero when it is to end. */
  readonly ended: Int32Array<SharedArrayBuffer>;
  /** File descriptor that leads to the supervisor. */
  readonly note: number | undefined;
  /** The thread that it watches is the control thread too: there is nobody to tell when that hangs. */
  readonly isOnlyThread: boolean;
}

export interface ToWatchdog {
  /** Those of a configuration that is about to serve. */
  readonly scripts: readonly ScriptName[];
  readonly isSilent: boolean;
}

/** A script keeps a thread, and nothing but the end of the thread helps. */
export interface FromWatchdog {
  readonly thread: number;
  /** Of its call, see {@link Vitals.runningScript}. */
  readonly sequence: number;
  /** Undefined when nobody knows what it is called. */
  readonly script: ScriptName | undefined;
  /** For how long by now. */
  readonly ranMs: number;
}

export interface WatchdogOptions extends Omit<WatchdogStart, "ended"> {
  readonly names: ScriptNames;
  readonly log: Log;
  onStall(stall: FromWatchdog): void;
}

/** Beside this file, built like it. */
const ENTRY = new URL(`watchdog-thread${extname(import.meta.url)}`, import.meta.url);
/** It needs little. */
const LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2, stackSizeMb: 1 };

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #ended = new Int32Array(new SharedArrayBuffer(4));
  #worker: Worker | undefined;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** A configuration is about to serve. */
  follow({ scripts, log }: Pick<CheckedConfig, "scripts" | "log">): void {
    const all = Object.values(scripts).map(({ name, version, file }) => ({ name, version, file }));
    if (all.length === 0) return;
    this.#options.names.add(all);
    this.#worker ??= this.#start();
    this.#worker.postMessage({ scripts: all, isSilent: log.level === "silent" } satisfies ToWatchdog);
  }

  close(): void {
    Atomics.store(this.#ended, 0, 1);
    Atomics.notify(this.#ended, 0);
  }

  #start(): Worker {
    const { vitals, note, isOnlyThread, log, onStall } = this.#options;
    const start: WatchdogStart = { vitals, ended: this.#ended, note, isOnlyThread };
    const worker = new Worker(ENTRY, { name: "watchdog", workerData: start, resourceLimits: LIMITS });
    worker.on("message", onStall);
    worker.on("error", (error) => {
      log.error({ err: error }, "nobody watches scripts any more, until the next reload; please report it");
      this.#worker = undefined;
    });
    worker.unref();
    return worker;
  }
}
