/**
 * The place of one data thread in a group: there is a thread in it, or one is on its way. One that dies or hangs is
 * replaced, at once the first time, then less and less often.
 */
import type { RootLog } from "../observe/log.ts";
import type { MergedMetrics } from "../observe/merged-metrics.ts";
import type { ObservedThread } from "../observe/observed-thread.ts";
import type { Profiler } from "../observe/profiling.ts";
import { pause } from "../pause.ts";
import type { ControlThreadCalls } from "./messages.ts";
import type { ScriptName } from "../script/names.ts";
import type { SharedMemoryHandle } from "./shared-memory.ts";
import { type KeptSockets, type ProcessSockets, prefixOf, socketsOf } from "./sockets.ts";
import { findStuckAt } from "./stuck-at.ts";
import { type Death, type DeathReason, WorkerThread } from "./worker-thread.ts";

/** Time before the second, third… try to replace a thread; longer from time to time. The first is at once. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5000;
/** A thread that lived for so long did not die of being replaced. */
const STABLE_MS = 10_000;

/** What all places of a group have in common. */
export interface PlaceContext {
  /** The module that a data thread runs. */
  readonly entry: URL;
  readonly memory: SharedMemoryHandle;
  readonly vitals: SharedArrayBuffer;
  readonly log: RootLog;
  readonly metrics: MergedMetrics;
  readonly sockets: ProcessSockets;
  /** What data threads may ask. */
  readonly calls: ControlThreadCalls;
  /** Told of each thread that is gone, before another takes its number: what it held is free. */
  onGone(thread: number): void;
  /** Told of a script that a thread was in the middle of when it died: it is not to run on others. */
  onBlamed(script: ScriptName): void;
  /** Told of a thread that cannot even be ended: only the end of the process helps. */
  onHopeless(thread: number): void;
}

/** What a place needs of its group. */
export interface PlaceOwner {
  /** Whether there is something for a new thread to serve. */
  readonly isServing: boolean;
  /** Has a thread serve what the others do. @throws what it cannot be built for */
  bringUp(thread: WorkerThread): Promise<void>;
  /** Name of the route whose request began last on a thread. */
  lastRoute(thread: WorkerThread): string | undefined;
  /** The script that a thread runs. */
  runningScript(thread: WorkerThread): ScriptName | undefined;
}

export class ThreadPlace implements ObservedThread {
  readonly number: number;
  readonly name: string;
  /** Threads that died here, by reason. */
  readonly deaths = new Map<DeathReason, number>();
  lastReason: DeathReason | undefined;
  /** Keys of listeners that there are sockets of, from before the first thread. */
  readonly inherited: readonly string[];
  readonly #context: PlaceContext;
  readonly #owner: PlaceOwner;
  /** Ends the pause before the next try. */
  readonly #closing = new AbortController();
  /** The thread that runs, or that is ending; undefined while there is none. */
  #thread: WorkerThread | undefined;
  /** The thread that is being told what the others serve. */
  #comingUp: { readonly thread: WorkerThread; readonly done: Promise<boolean> } | undefined;
  /** Resolves when the thread that died here has ended: two never have the same number. */
  #ending: Promise<unknown> | undefined;
  /** Deaths in a row after a short life. */
  #failures = 0;
  /** Grows whenever somebody else takes care of the place. */
  #turn = 0;
  /** Listening sockets for the next thread. */
  #sockets: KeptSockets;

  constructor(number: number, context: PlaceContext, owner: PlaceOwner) {
    this.number = number;
    this.name = String(number);
    this.#context = context;
    this.#owner = owner;
    this.#sockets = context.sockets.takeAll(prefixOf(number));
    this.inherited = this.#sockets.map(([key]) => key);
    this.#start();
  }

  /** The thread, if it runs. */
  get thread(): WorkerThread | undefined {
    return this.#thread?.isAlive === true ? this.#thread : undefined;
  }

  get state(): ObservedThread["state"] {
    if (this.thread === undefined) return "replacing";
    return this.thread.serves === 0 ? "starting" : "running";
  }

  get startedAt(): number | undefined {
    return this.thread?.startedAt;
  }

  get replacements(): number {
    return [...this.deaths.values()].reduce((sum, count) => sum + count, 0);
  }

  get runningScript(): string | undefined {
    return this.thread && this.#owner.runningScript(this.thread)?.name;
  }

  get profiler(): Profiler | undefined {
    return this.thread?.profiler;
  }

  /** Starts a thread if there is none, whatever is being tried here: it is for the caller to have it serve. */
  async fill(): Promise<void> {
    await this.#ending;
    if (this.#thread !== undefined) return;
    this.#turn++;
    this.#start();
  }

  /** Has the thread serve what the others do, if it does not yet. */
  catchUp(): void {
    const { thread } = this;
    if (thread !== undefined) void this.#bringUp(thread);
  }

  /** Nobody is replaced any more. */
  close(): void {
    this.#closing.abort();
  }

  #start(): WorkerThread {
    const { entry, memory, vitals, log, metrics, sockets, calls } = this.#context;
    const { number } = this;
    const start = { thread: number, memory, vitals, level: log.level, sockets: this.#sockets };
    const thread = new WorkerThread(entry, start, log, socketsOf(number, sockets), calls);
    this.#thread = thread;
    this.#sockets = [];
    metrics.add({ thread: number, snapshot: () => thread.snapshot() });
    void thread.death.then((death) => this.#onDeath(thread, death));
    return thread;
  }

  /** True when it serves; one that cannot is given up, and so replaced. Once at a time: all who ask share it. */
  #bringUp(thread: WorkerThread): Promise<boolean> {
    if (this.#comingUp?.thread !== thread) {
      const done = this.#bringUpOnce(thread).finally(() => {
        if (this.#comingUp?.thread === thread) this.#comingUp = undefined;
      });
      this.#comingUp = { thread, done };
    }
    return this.#comingUp.done;
  }

  async #bringUpOnce(thread: WorkerThread): Promise<boolean> {
    try {
      await this.#owner.bringUp(thread);
      return true;
    } catch (error) {
      // One that died is taken care of where that is heard of.
      if (thread.isAlive)
        thread.giveUp("error", `it cannot serve what the others do: ${(error as Error).message}`);
      return false;
    }
  }

  async #onDeath(thread: WorkerThread, { reason, message }: Death): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const { number } = this;
    const { log, metrics, onGone, onBlamed, onHopeless } = this.#context;
    const route = this.#owner.lastRoute(thread);
    const running = this.#owner.runningScript(thread);
    if (running !== undefined) onBlamed(running);
    const { name: script, file } = running ?? {};
    const isStuck = reason === "stall" && running === undefined;
    const at = isStuck ? await findStuckAt(thread.worker) : undefined;
    this.deaths.set(reason, (this.deaths.get(reason) ?? 0) + 1);
    this.lastReason = reason;
    log.error({ thread: number, reason, route, script, file, at }, `a data thread is replaced: ${message}`);
    this.#failures = performance.now() - thread.bornAt < STABLE_MS ? this.#failures + 1 : 0;
    const ending = this.#end(thread);
    this.#ending = ending;
    if (!(await ending)) return onHopeless(number);
    this.#ending = undefined;
    this.#thread = undefined;
    metrics.retire(number);
    onGone(number);
    await this.#replace();
  }

  /** Ends a thread, and sees to its sockets. False when it cannot be ended. */
  async #end(thread: WorkerThread): Promise<boolean> {
    const { sockets } = this.#context;
    const prefix = prefixOf(this.number);
    const isEnded = await thread.end();
    // The process ends, and the one that comes after it serves who waits there.
    if (!isEnded) return false;
    // While there is a pause, who connects is better served by other threads.
    if (this.#failures <= 1) this.#sockets = await sockets.handBack(prefix);
    else sockets.dropAll(prefix);
    return true;
  }

  /** Starts a thread that serves what the others do, unless somebody else takes care of the place. */
  async #replace(): Promise<void> {
    const turn = ++this.#turn;
    const { signal } = this.#closing;
    if (this.#failures > 1) {
      await pause(Math.min(FIRST_BACKOFF_MS * 2 ** (this.#failures - 2), LONGEST_BACKOFF_MS), signal);
    }
    if (signal.aborted || this.#turn !== turn || !this.#owner.isServing) return;
    const began = performance.now();
    if (!(await this.#bringUp(this.#start()))) return;
    const ms = Math.round(performance.now() - began);
    this.#context.log.info({ thread: this.number, ms }, "a new data thread serves");
  }
}
