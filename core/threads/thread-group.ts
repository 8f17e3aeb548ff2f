/**
 * Data threads that act as one: what is asked of the group is asked of all, a configuration serves on all of them or
 * on none. A thread that dies or hangs is replaced by one that serves the same.
 */
import type { CheckedConfig } from "../config/checked.ts";
import { type DataThread, listenError, listenerKeys, type Prepared } from "../gateway.ts";
import type { RootLog } from "../observe/log.ts";
import type { MergedMetrics } from "../observe/merged-metrics.ts";
import type { ObservedThread } from "../observe/observed-thread.ts";
import type { Clock, Labels } from "../plugin.ts";
import type { Feeds } from "../upstream/feed.ts";
import { probeAddress } from "./probe-address.ts";
import { prepareAll } from "./prepare-all.ts";
import type { SharedMemoryHandle } from "./shared-memory.ts";
import { type KeptSockets, type ProcessSockets, prefixOf, socketsOf } from "./sockets.ts";
import { StallWatch } from "./stall-watch.ts";
import { findStuckAt } from "./stuck-at.ts";
import { createVitals } from "./vitals.ts";
import { type Death, type DeathReason, WorkerThread } from "./worker-thread.ts";

/** Time before the second, third… try to replace a thread; longer from time to time. The first is at once. */
const FIRST_BACKOFF_MS = 100;
const LONGEST_BACKOFF_MS = 5000;
/** A thread that lived for so long did not die of being replaced. */
const STABLE_MS = 10_000;

export interface ThreadGroupOptions {
  /** How many, at least one. */
  readonly threads: number;
  /** The module that a data thread runs. */
  readonly entry: URL;
  readonly memory: SharedMemoryHandle;
  readonly log: RootLog;
  readonly clock: Clock;
  readonly metrics: MergedMetrics;
  readonly sockets: ProcessSockets;
  /** Told of each thread that is gone, before another takes its number: what it held is free. */
  onGone(thread: number): void;
  /** Told of a thread that cannot even be ended: only the end of the process helps. */
  onHopeless(thread: number): void;
}

/** What the group serves. */
interface Serving {
  readonly config: CheckedConfig;
  readonly number: number;
  readonly feeds: Feeds;
  /** Addresses that are listened on, in the order of the configuration, port 0 resolved. */
  readonly at: readonly string[];
  /** Resolve when nothing of it is left on a thread; one for each that it ever served on. */
  readonly retired: Promise<void>[];
  /** Called when nothing of it is left at all. */
  onRetired(): void;
}

/** A thread's place in the group. */
interface Place {
  readonly number: number;
  /** The thread that serves, or that prepares for the first time; undefined while it is being replaced. */
  thread: WorkerThread | undefined;
  /** Replacements in a row that did not live long. */
  failures: number;
  /** How many threads died here, and why the last one did. */
  replacements: number;
  lastReason: DeathReason | undefined;
  /** Grows whenever somebody else takes care of the place. */
  turn: number;
  /** Resolves when the thread that died here has ended: two never have the same number. */
  ending: Promise<unknown> | undefined;
  /** Listening sockets for the next thread. */
  sockets: KeptSockets;
}

export class ThreadGroup implements DataThread {
  readonly #options: ThreadGroupOptions;
  readonly #vitals: SharedArrayBuffer;
  readonly #places: readonly Place[];
  readonly #watch: StallWatch<WorkerThread>;
  readonly #replaced = new Map<DeathReason, number>();
  readonly #ends: readonly (() => void)[];
  /** Keys of listeners that threads have sockets of, from before the first configuration. */
  readonly #inherited: ReadonlySet<string>;
  #serving: Serving | undefined;
  /** Names of routes, by generation: what a thread that died ran last. */
  readonly #routes = new Map<number, readonly string[]>();
  #urls: string[] = [];
  #stopping = false;
  #wake: (() => void)[] = [];

  constructor(options: ThreadGroupOptions) {
    const { threads, clock, metrics, sockets } = options;
    this.#options = options;
    this.#vitals = createVitals(threads);
    this.#places = Array.from({ length: threads }, (_, number) => ({
      number,
      thread: undefined,
      failures: 0,
      replacements: 0,
      lastReason: undefined,
      turn: 0,
      ending: undefined,
      sockets: sockets.takeAll(prefixOf(number)),
    }));
    this.#inherited = new Set(this.#places.flatMap((place) => place.sockets.map(([key]) => key)));
    for (const place of this.#places) this.#start(place);
    this.#watch = new StallWatch(
      clock,
      () => this.#threads,
      (thread, silentMs) => thread.giveUp(`it has not come round for ${Math.round(silentMs)} ms`),
    );
    this.#ends = [
      metrics.own.collect("sluice_threads", "Data threads that serve.", "gauge", () => [
        [{}, this.#threads.length],
      ]),
      metrics.own.collect(
        "sluice_thread_replacements_total",
        "Data threads that died or hung and were replaced, by reason.",
        "counter",
        () => [...this.#replaced].map(([reason, count]): [Labels, number] => [{ reason }, count]),
      ),
    ];
  }

  get urls(): string[] {
    return this.#urls;
  }

  get threads(): readonly ObservedThread[] {
    return this.#places.map(({ number, thread, replacements, lastReason }) => ({
      name: String(number),
      state: thread?.isAlive !== true ? "replacing" : thread.serves === 0 ? "starting" : "running",
      startedAt: thread?.isAlive === true ? thread.startedAt : undefined,
      replacements,
      lastReason,
      profiler: thread?.isAlive === true ? thread.profiler : undefined,
    }));
  }

  get lastRoutes(): string[] {
    return this.#threads.flatMap((thread) => this.#lastRoute(thread) ?? []);
  }

  /** Threads that serve now. */
  get #threads(): WorkerThread[] {
    return this.#places.flatMap(({ thread }) => (thread?.isAlive ? [thread] : []));
  }

  async prepare(config: CheckedConfig, number: number, feeds: Feeds): Promise<Prepared> {
    await this.#probe(config.listeners);
    await Promise.all(this.#places.map(({ ending }) => ending));
    // A place without a thread gets one that begins with this configuration, whatever is being tried there.
    for (const place of this.#places) {
      if (place.thread !== undefined) continue;
      place.turn++;
      this.#start(place);
    }
    const threads = this.#threads;
    let all: readonly Prepared[];
    try {
      all = await this.#prepareOn(threads, config, number, feeds);
    } catch (error) {
      this.#afterRefusal();
      throw error;
    }
    const [first] = all;
    const { promise: retired, resolve: onRetired } = Promise.withResolvers<void>();
    return {
      urls: first!.urls,
      retired,
      activate: () => {
        const old = this.#serving;
        const at = first!.urls.map(addressOf);
        this.#serving = { config, number, feeds, at, retired: all.map((one) => one.retired), onRetired };
        if (old !== undefined) retire(old);
        this.#urls = first!.urls;
        this.#remember(number, config);
        for (const one of all) one.activate();
        // Threads that came up meanwhile with what served before.
        for (const place of this.#places) {
          if (place.thread !== undefined && !threads.includes(place.thread)) this.#catchUp(place.thread);
        }
      },
      discard: async () => {
        await Promise.all(all.map((one) => one.discard()));
        onRetired();
        this.#afterRefusal();
      },
    };
  }

  async stop(drainMs: number, patient?: boolean): Promise<number> {
    this.#stopping = true;
    this.#watch.close();
    for (const wake of this.#wake) wake();
    const cut = await Promise.all(this.#threads.map((thread) => thread.stop(drainMs, patient)));
    this.#serving?.onRetired();
    for (const end of this.#ends) end();
    return cut.reduce((sum, n) => sum + n, 0);
  }

  /** What there is, of all threads; of what several have, the first one's word counts. */
  async inspect(collection: string): Promise<Record<string, object>> {
    const all = await Promise.all(
      this.#threads.map((thread) => thread.inspect(collection).catch(() => ({}))),
    );
    return Object.assign({}, ...all.toReversed()) as Record<string, object>;
  }

  async change(collection: string, id: string, patch: unknown): Promise<object | undefined> {
    const all = await Promise.all(this.#threads.map((thread) => thread.change(collection, id, patch)));
    return all.find((changed) => changed !== undefined);
  }

  /** @throws ConfigError for an address that is new and not free */
  async #probe(listeners: CheckedConfig["listeners"]): Promise<void> {
    const ours = this.#serving === undefined ? this.#inherited : listenerKeys(this.#serving.config.listeners);
    const known = new Set(ours);
    for (const [i, key] of listenerKeys(listeners).entries()) {
      if (known.has(key)) continue;
      const { address } = listeners[i]!;
      try {
        await probeAddress(address);
      } catch (error) {
        throw listenError(error, address, `/listeners/${i}/address`);
      }
    }
  }

  /** Prepares on all of these or on none. Where a port is to be found, one thread finds it for all. */
  async #prepareOn(
    threads: readonly WorkerThread[],
    config: CheckedConfig,
    number: number,
    feeds: Feeds,
  ): Promise<readonly Prepared[]> {
    const [first, ...others] = threads;
    if (first === undefined) throw new Error("all data threads have ended");
    if (!config.listeners.some(({ address }) => address.endsWith(":0"))) {
      return prepareAll(threads.map((thread) => thread.prepare(config, number, feeds)));
    }
    const one = await first.prepare(config, number, feeds);
    const at = one.urls.map(addressOf);
    const rest = others.map((thread) => thread.prepare(config, number, feeds, at));
    return prepareAll([Promise.resolve(one), ...rest]);
  }

  /** Threads that serve nothing yet, because their first configuration was refused, serve what the others do. */
  #afterRefusal(): void {
    if (this.#serving === undefined) return;
    for (const place of this.#places) {
      if (place.thread?.serves === 0) this.#catchUp(place.thread);
    }
  }

  /** Has a thread serve what the group serves. */
  #catchUp(thread: WorkerThread): void {
    void this.#bringUp(thread).catch((error: unknown) => {
      if (thread.isAlive) thread.giveUp(`it cannot serve what the others do: ${(error as Error).message}`);
    });
  }

  /** @throws what it cannot be built for */
  async #bringUp(thread: WorkerThread): Promise<void> {
    for (;;) {
      const serving = this.#serving!;
      if (thread.serves === serving.number) return;
      const { config, number, feeds, at, retired } = serving;
      const prepared = await thread.prepare(config, number, feeds, at);
      if (serving === this.#serving) {
        retired.push(prepared.retired);
        return prepared.activate();
      }
      await prepared.discard(); // another one has been activated meanwhile
    }
  }

  #start(place: Place): WorkerThread {
    const { entry, memory, log, sockets } = this.#options;
    const { level } = log;
    const start = { thread: place.number, memory, vitals: this.#vitals, level, sockets: place.sockets };
    const thread = new WorkerThread(entry, start, log, socketsOf(place.number, sockets));
    place.thread = thread;
    place.sockets = [];
    this.#options.metrics.add({ thread: thread.number, snapshot: () => thread.snapshot() });
    void thread.death.then((death) => this.#onDeath(place, thread, death));
    return thread;
  }

  async #onDeath(place: Place, thread: WorkerThread, death: Death): Promise<void> {
    if (this.#stopping) return;
    const { log, sockets, onGone, onHopeless } = this.#options;
    const { reason, message } = death;
    const route = this.#lastRoute(thread);
    const at = reason === "stall" ? await findStuckAt(thread.worker) : undefined;
    this.#replaced.set(reason, (this.#replaced.get(reason) ?? 0) + 1);
    place.replacements++;
    place.lastReason = reason;
    log.error({ thread: thread.number, reason, route, at }, `a data thread is replaced: ${message}`);
    place.failures = Date.now() - thread.startedAt < STABLE_MS ? place.failures + 1 : 0;
    const prefix = prefixOf(thread.number);
    const ending = thread.end().then(async (isEnded) => {
      // While there is a pause, who connects is better served by other threads.
      if (isEnded && place.failures <= 1) place.sockets = await sockets.handBack(prefix);
      else sockets.dropAll(prefix);
      return isEnded;
    });
    place.ending = ending;
    if (!(await ending)) return onHopeless(thread.number);
    place.ending = undefined;
    place.thread = undefined;
    this.#options.metrics.retire(thread.number);
    onGone(thread.number);
    await this.#replace(place);
  }

  /** Tries until a thread serves in this place, or somebody else takes care of it. */
  async #replace(place: Place): Promise<void> {
    const turn = ++place.turn;
    if (place.failures > 1) {
      await this.#pause(Math.min(FIRST_BACKOFF_MS * 2 ** (place.failures - 2), LONGEST_BACKOFF_MS));
    }
    if (this.#stopping || place.turn !== turn || this.#serving === undefined) return;
    const thread = this.#start(place);
    const began = performance.now();
    try {
      await this.#bringUp(thread);
      const ms = Math.round(performance.now() - began);
      this.#options.log.info({ thread: place.number, ms }, "a new data thread serves");
    } catch (error) {
      // One that died is taken care of where that is heard of.
      if (thread.isAlive) thread.giveUp(`it cannot be built: ${(error as Error).message}`);
    }
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #remember(number: number, config: CheckedConfig): void {
    this.#routes.set(
      number,
      config.routes.map(({ name }) => name),
    );
    // The last two are enough: requests of older ones have long begun.
    for (const old of this.#routes.keys()) if (old < number - 1) this.#routes.delete(old);
  }

  /** Name of the route whose request began last on a thread. */
  #lastRoute({ vitals }: WorkerThread): string | undefined {
    const last = vitals.lastRoute;
    return last && this.#routes.get(last.generation)?.[last.route];
  }
}

/** Says when nothing is left of what does not serve any more. */
function retire({ retired, onRetired }: Serving): void {
  void Promise.all(retired).then(onRetired);
}

/** The address of a URL that is listened on. */
function addressOf(url: string): string {
  return url.replace(/^https?:\/\//, "");
}
