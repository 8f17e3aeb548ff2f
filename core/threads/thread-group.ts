/**
 * Data threads that act as one: what is asked of the group is asked of all, a configuration serves on all of them or
 * on none. A thread that dies or hangs is replaced by one that serves the same.
 */
import type { CheckedConfig } from "../config/checked.ts";
import { ConfigError, GatewayError } from "../errors.ts";
import type { DataThread, Prepared } from "../gateway.ts";
import { listenerKeys } from "../listener-address.ts";
import type { ObservedThread } from "../observe/observed-thread.ts";
import type { Clock, Labels, Metrics } from "../plugin.ts";
import { mergeCaches } from "../cache-view.ts";
import { mergeLimits } from "../limit-view.ts";
import { mergeScripts } from "../script/view.ts";
import type { ScriptName, ScriptNames } from "../script/names.ts";
import type { FromWatchdog } from "../script/watchdog.ts";
import type { Feeds } from "../upstream/feed.ts";
import { type Merge, mergeCollections } from "./merge-collections.ts";
import { prepareAll } from "./prepare-all.ts";
import { openProbed } from "./probe-address.ts";
import { RouteNames } from "./route-names.ts";
import { StallWatch } from "./stall-watch.ts";
import { type PlaceContext, type PlaceOwner, ThreadPlace } from "./thread-place.ts";
import type { WorkerThread } from "./worker-thread.ts";

export interface ThreadGroupOptions extends PlaceContext {
  /** How many, at least one. */
  readonly threads: number;
  readonly clock: Clock;
  readonly scripts: ScriptNames;
}

/** Collections of which each thread has a part. */
const MERGES: Readonly<Record<string, Merge | undefined>> = {
  caches: mergeCaches,
  limits: mergeLimits,
  scripts: mergeScripts,
};

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

export class ThreadGroup implements DataThread, PlaceOwner {
  readonly #places: readonly ThreadPlace[];
  readonly #watch: StallWatch<WorkerThread>;
  readonly #ends: readonly (() => void)[];
  readonly #routes = new RouteNames();
  readonly #scripts: ScriptNames;
  #serving: Serving | undefined;
  #urls: string[] = [];

  constructor({ threads, clock, scripts, ...context }: ThreadGroupOptions) {
    this.#scripts = scripts;
    this.#places = Array.from({ length: threads }, (_, number) => new ThreadPlace(number, context, this));
    this.#watch = new StallWatch(
      clock,
      () => this.#threads,
      (thread, silentMs) => giveUp(thread, this.runningScript(thread)?.name, Math.round(silentMs)),
    );
    this.#ends = collectThreads(context.metrics.own, this.#places);
  }

  get urls(): string[] {
    return this.#urls;
  }

  get threads(): readonly ObservedThread[] {
    return this.#places;
  }

  get isServing(): boolean {
    return this.#serving !== undefined;
  }

  get lastRoutes(): string[] {
    return this.#threads.flatMap((thread) => this.lastRoute(thread) ?? []);
  }

  /** Threads that serve now. */
  get #threads(): WorkerThread[] {
    return this.#places.flatMap(({ thread }) => thread ?? []);
  }

  async prepare(config: CheckedConfig, number: number, feeds: Feeds): Promise<Prepared> {
    return openProbed(config.listeners, this.#known, () => this.#prepare(config, number, feeds, 1));
  }

  async #prepare(config: CheckedConfig, number: number, feeds: Feeds, retries: number): Promise<Prepared> {
    await Promise.all(this.#places.map((place) => place.fill()));
    const threads = this.#threads;
    let all: readonly Prepared[];
    try {
      all = await this.#prepareOn(threads, config, number, feeds);
    } catch (error) {
      // A thread that happened to die must not have a sound configuration refused; one that this kills does so again.
      const isAnotherTry = retries > 0 && !(error instanceof ConfigError) && threads.some((t) => !t.isAlive);
      if (isAnotherTry) return this.#prepare(config, number, feeds, retries - 1);
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
        this.#routes.add(number, config);
        for (const one of all) one.activate();
        // Threads that came up meanwhile with what served before.
        for (const place of this.#places) if (!threads.includes(place.thread!)) place.catchUp();
      },
      discard: async () => {
        await Promise.all(all.map((one) => one.discard()));
        onRetired();
        this.#afterRefusal();
      },
    };
  }

  async stop(drainMs: number, patient?: boolean): Promise<number> {
    for (const place of this.#places) place.close();
    const cut = await Promise.all(this.#threads.map((thread) => thread.stop(drainMs, patient)));
    this.#watch.close();
    this.#serving?.onRetired();
    for (const end of this.#ends) end();
    return cut.reduce((sum, n) => sum + n, 0);
  }

  /** What there is, of all threads; of what several have, the first one's word counts, save for what each counts. */
  async inspect(collection: string): Promise<Record<string, object>> {
    const all = await Promise.all(
      this.#threads.map((thread) => thread.inspect(collection).catch(() => ({}))),
    );
    const merge = MERGES[collection];
    if (merge !== undefined) return mergeCollections(all, merge);
    return Object.assign({}, ...all.toReversed()) as Record<string, object>;
  }

  async change(collection: string, id: string, patch: unknown): Promise<object | undefined> {
    const done = await this.#onAll((thread) => thread.change(collection, id, patch));
    return done.find((changed) => changed !== undefined);
  }

  async ask(collection: string, id: string, question: unknown): Promise<object[]> {
    return (await this.#onAll((thread) => thread.ask(collection, id, question))).flat();
  }

  /** Has all threads do something. @throws what one of them refuses */
  async #onAll<T>(doIt: (thread: WorkerThread) => Promise<T>): Promise<T[]> {
    const outcomes = await Promise.allSettled(this.#threads.map(doIt));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    const done = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    // A thread that dies meanwhile takes nothing with it that the others have not done.
    const isTold = failed?.reason instanceof ConfigError || failed?.reason instanceof GatewayError;
    if (failed !== undefined && (isTold || done.length === 0)) throw failed.reason;
    return done;
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

  async bringUp(thread: WorkerThread): Promise<void> {
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

  lastRoute({ vitals }: WorkerThread): string | undefined {
    return this.#routes.lastOf(vitals);
  }

  /** The script that a thread runs, if it is known by name. */
  runningScript({ vitals }: WorkerThread): ScriptName | undefined {
    const call = vitals.runningScript;
    return call && this.#scripts.get(call.id);
  }

  /** A script keeps a thread, which is given up if it still does. */
  giveUp({ thread: number, sequence, script, ranMs }: FromWatchdog): void {
    const thread = this.#places[number]?.thread;
    if (thread?.vitals.runningScript?.sequence === sequence) {
      giveUp(thread, script?.name ?? "(unknown)", ranMs);
    }
  }

  /** Keys of listeners that are open; before the first configuration those that a process before this one had. */
  get #known(): ReadonlySet<string> {
    if (this.#serving !== undefined) return new Set(listenerKeys(this.#serving.config.listeners));
    return new Set(this.#places.flatMap(({ inherited }) => inherited));
  }

  /** Threads that serve nothing yet, because their first configuration was refused, serve what the others do. */
  #afterRefusal(): void {
    if (this.#serving === undefined) return;
    for (const place of this.#places) if (place.thread?.serves === 0) place.catchUp();
  }
}

/** @param script that keeps it, if any does */
function giveUp(thread: WorkerThread, script: string | undefined, ms: number): void {
  const what = script === undefined ? "it has not come round" : `the script ${script} has kept it`;
  thread.giveUp("stall", `${what} for ${ms} ms`);
}

/** Says when nothing is left of what does not serve any more. */
function retire({ retired, onRetired }: Serving): void {
  void Promise.all(retired).then(onRetired);
}

/** The address of a URL that is listened on. */
function addressOf(url: string): string {
  return url.replace(/^https?:\/\//, "");
}

/** Registers the metrics of threads. Gives what ends them. */
function collectThreads(metrics: Metrics, places: readonly ThreadPlace[]): (() => void)[] {
  return [
    metrics.collect("sluice_threads", "Data threads that serve.", "gauge", () => [
      [{}, places.filter(({ thread }) => thread !== undefined).length],
    ]),
    metrics.collect(
      "sluice_thread_replacements_total",
      "Data threads that died or hung and were replaced, by reason.",
      "counter",
      () => countDeaths(places),
    ),
  ];
}

function countDeaths(places: readonly ThreadPlace[]): (readonly [Labels, number])[] {
  const counts = new Map<string, number>();
  for (const { deaths } of places) {
    for (const [reason, count] of deaths) counts.set(reason, (counts.get(reason) ?? 0) + count);
  }
  return [...counts].map(([reason, count]) => [{ reason }, count]);
}
