/**
 * Holds the generation that serves. A swap builds the next one whole, then changes one reference; the old one
 * drains and closes. This is the work of one data thread: {@link DataThread} is what a control thread sees.
 */
import { monotonicMs } from "./clock.ts";
import type { CheckedConfig, ListenerConfig } from "./config/checked.ts";
import { ConfigError, type ErrorCode, GatewayError } from "./errors.ts";
import type { Exchange, Log } from "./exchange.ts";
import { buildGeneration, type Generation, type Surroundings } from "./generation.ts";
import { KeepStore } from "./keep.ts";
import { listenError } from "./listen-error.ts";
import { listenerKeys } from "./listener-address.ts";
import type { GatewayMetrics } from "./observe/metrics.ts";
import type { ObservedThread } from "./observe/observed-thread.ts";
import { accessLine } from "./observe/access-log.ts";
import type { Catalogue, Clock, SharedState } from "./plugin.ts";
import type { Reply } from "./reply.ts";
import type { OpenStore } from "./store/stores.ts";
import { inTurn } from "./threads/in-turn.ts";
import { probeAddress } from "./threads/probe-address.ts";
import type { SocketStore } from "./threads/sockets.ts";
import type { Vitals } from "./threads/vitals.ts";
import { Listener, type Service } from "./server.ts";
import type { Outcome } from "./transaction.ts";
import type { Feeds } from "./upstream/feed.ts";

/** A configuration that is built and ready, on one thread: either of the two ends it. */
export interface Prepared {
  /** Where it will listen, such as `http://127.0.0.1:8080`, in the order of the configuration. */
  readonly urls: string[];
  /** Lets it serve. Cannot fail. */
  activate(): void;
  /** Throws it away; what serves goes on. */
  discard(): Promise<void>;
  /** Resolves when nothing of it is left: it was discarded, or replaced and its last request has ended. */
  readonly retired: Promise<void>;
}

/** A thread that serves. Swaps are two-phase: all threads prepare, then all activate or all discard. */
export interface DataThread {
  /**
   * @param feeds what is told of its upstreams, until it is retired
   * @param at where to listen instead of the addresses in the configuration, in the same order: another thread has
   * found out what port 0 stands for
   * @throws ConfigError when the configuration cannot be built
   */
  prepare(config: CheckedConfig, number: number, feeds: Feeds, at?: readonly string[]): Promise<Prepared>;
  /**
   * Stops taking connections and waits for requests under way; gives how many were cut off.
   * @param patient idle connections are closed after one more request, or when they have been idle for too long
   */
  stop(drainMs: number, patient?: boolean): Promise<number>;
  /** What there is of a collection for operators to look at, by id. */
  inspect(collection: string): Promise<Record<string, object>>;
  /**
   * Changes one of a collection, and gives what it is then; undefined when there is none of that id.
   * @throws ConfigError with pointers into the patch
   */
  change(collection: string, id: string, patch: unknown): Promise<object | undefined>;
  /**
   * Asks one of a collection something.
   * @returns what each thread that has it answers; nothing when there is none of that id
   * @throws GatewayError when it cannot be asked now
   */
  ask(collection: string, id: string, question: unknown): Promise<object[]>;
  /** The threads that it consists of, unless it is the one that asks. */
  readonly threads?: readonly ObservedThread[];
  /** Where it listens, such as `http://127.0.0.1:8080`, in the order of the configuration. */
  readonly urls: string[];
  /** Names of the routes whose requests began last. */
  readonly lastRoutes?: string[];
}

export interface GatewayOptions {
  catalogue: Catalogue;
  log: Log;
  clock: Clock;
  metrics: GatewayMetrics;
  shared: SharedState;
  vitals: Vitals;
  openStore: OpenStore;
  sockets: SocketStore;
  /**
   * Others listen on the same addresses: threads of this process, which have made sure that nobody else does, or the
   * process that comes after this one. Nobody by default.
   */
  sharesPorts?: "with-threads" | "with-successor";
  /** Has the process replaced; see {@link Surroundings}. */
  giveUp?: Surroundings["giveUp"];
  /** A number from 0 up to 1. */
  random(): number;
}

export class Gateway implements DataThread, Service {
  readonly log: Log;
  readonly #around: Surroundings;
  readonly #metrics: GatewayMetrics;
  readonly #sharesPorts: GatewayOptions["sharesPorts"];
  readonly #sockets: SocketStore;
  #generation: Generation | undefined;
  /** Resolves when the first configuration serves, or none will. */
  readonly #begun = Promise.withResolvers<void>();
  /** By {@link listenerKeys}; an address that stays keeps its socket. */
  #listeners = new Map<string, Listener>();
  #logAccess = false;
  /** Old generations and listeners that are still draining. */
  readonly #draining = new Set<Promise<unknown>>();

  constructor(options: GatewayOptions) {
    this.log = options.log;
    this.#metrics = options.metrics;
    this.#sharesPorts = options.sharesPorts;
    this.#sockets = options.sockets;
    this.#around = { ...options, kept: new KeepStore() };
  }

  get lastRoutes(): string[] {
    const last = this.#around.vitals.lastRoute;
    if (last === undefined || last.generation !== this.#generation?.number) return [];
    return [this.#generation.config.routes[last.route]!.name];
  }

  get urls(): string[] {
    return [...this.#listeners.values()].map((listener) => listener.url);
  }

  async prepare(
    config: CheckedConfig,
    number: number,
    feeds: Feeds,
    at?: readonly string[],
  ): Promise<Prepared> {
    const generation = await buildGeneration(number, config, this.#around, feeds);
    let opened: Map<string, Listener>;
    try {
      opened = await this.#openListeners(config.listeners, at);
    } catch (error) {
      await generation.retire(0);
      throw error;
    }
    const keys = listenerKeys(config.listeners);
    return {
      urls: keys.map((key) => (this.#listeners.get(key) ?? opened.get(key)!).url),
      activate: () => this.#activate(generation, opened),
      discard: async () => {
        await Promise.all([generation.retire(0), this.#closeOpened(opened)]);
      },
      retired: generation.closed,
    };
  }

  async stop(drainMs: number, patient?: boolean): Promise<number> {
    this.#begun.resolve();
    const listeners = [...this.#listeners.values()];
    const cut = await Promise.all(listeners.map((listener) => listener.close(drainMs, patient)));
    this.#listeners.clear();
    await this.#generation?.retire(0);
    this.#generation = undefined;
    await Promise.all(this.#draining);
    return cut.reduce((sum, n) => sum + n, 0);
  }

  async inspect(collection: string): Promise<Record<string, object>> {
    const things = this.#generation?.exposed.get(collection) ?? [];
    const all = [...things].map(async ([id, thing]) => [id, await thing.describe()] as const);
    return Object.fromEntries(await Promise.all(all));
  }

  async change(collection: string, id: string, patch: unknown): Promise<object | undefined> {
    const thing = this.#generation?.exposed.get(collection)?.get(id);
    if (thing === undefined) return undefined;
    if (thing.change === undefined) throw new ConfigError("This cannot be changed");
    thing.change(patch);
    return thing.describe();
  }

  async ask(collection: string, id: string, question: unknown): Promise<object[]> {
    const thing = this.#generation?.exposed.get(collection)?.get(id);
    return thing?.ask === undefined ? [] : [await thing.ask(question)];
  }

  handle(x: Exchange): Reply | Promise<Reply> {
    return this.#generation === undefined ? this.#handleFirst(x) : this.#generation.handle(x);
  }

  onStart(): void {
    this.#metrics.active++;
  }

  onEnd(x: Exchange, outcome: Outcome): void {
    this.#metrics.active--;
    const ms = monotonicMs() - x.startedAt;
    x.route.stats?.record(x.originalMethod, outcome.status, ms);
    const { code, error } = outcome;
    if (code !== undefined) this.#metrics.countError(code);
    if (error !== undefined && error.status >= 500 && !REFUSALS.has(error.code)) {
      const fields = { code, requestId: x.id, route: x.route.name, err: error.cause ?? error };
      if (error.status === 500) this.log.error(fields, error.message);
      else
        this.log.warn(
          { ...fields, upstream: x.upstream, target: x.target?.url, err: undefined, cause: causeOf(error) },
          error.message,
        );
    }
    if (this.#logAccess) this.log.info(accessLine(x, outcome, ms), "request");
  }

  onRefused(code: ErrorCode, peer: string): void {
    this.#metrics.countError(code);
    const { status } = new GatewayError(code);
    if (this.#logAccess) this.log.info({ client: peer, status, code }, "request refused");
  }

  /** A listener is open a moment before the first configuration serves: who comes then waits for it. */
  async #handleFirst(x: Exchange): Promise<Reply> {
    await this.#begun.promise;
    if (this.#generation === undefined)
      throw new GatewayError("NOT_READY", { headers: ["retry-after", "1"] });
    return this.#generation.handle(x);
  }

  /** Opens listeners for addresses that are new. A failure closes what was opened. */
  async #openListeners(
    configs: readonly ListenerConfig[],
    at: readonly string[] | undefined,
  ): Promise<Map<string, Listener>> {
    const opened = new Map<string, Listener>();
    try {
      for (const [i, key] of listenerKeys(configs).entries()) {
        if (this.#listeners.has(key)) continue;
        const config = configs[i]!;
        const { address } = config;
        const listener = new Listener(config, this);
        opened.set(key, listener);
        try {
          const fd = this.#sockets.take(key);
          const reusePort = this.#sharesPorts !== undefined;
          const listen = (): Promise<void> => listener.listen({ address: at?.[i] ?? address, reusePort, fd });
          if (this.#sharesPorts !== "with-successor" || fd !== undefined) await listen();
          else await inTurn(() => probeAddress(address).then(listen));
          if (fd === undefined) this.#sockets.hold(key, listener.socket);
        } catch (error) {
          throw listenError(error, address, `/listeners/${i}/address`);
        }
      }
      return opened;
    } catch (error) {
      await this.#closeOpened(opened);
      throw error;
    }
  }

  async #closeOpened(opened: ReadonlyMap<string, Listener>): Promise<void> {
    this.#sockets.drop([...opened.keys()]);
    await Promise.all([...opened.values()].map((listener) => listener.close(0)));
  }

  #activate(generation: Generation, opened: Map<string, Listener>): void {
    const old = this.#generation;
    const { config } = generation;
    this.#generation = generation;
    generation.activate();
    this.#begun.resolve();
    this.#logAccess = config.log.access;
    const listeners = new Map<string, Listener>();
    for (const [i, key] of listenerKeys(config.listeners).entries()) {
      const existing = this.#listeners.get(key);
      existing?.update(config.listeners[i]!);
      listeners.set(key, existing ?? opened.get(key)!);
      this.#listeners.delete(key);
    }
    for (const listener of opened.values()) listener.begin();
    this.#sockets.drop([...this.#listeners.keys()]);
    const removed = [...this.#listeners.values()];
    this.#listeners = listeners;
    this.#metrics.generation = generation.number;
    const { drainTimeoutMs } = config;
    const onOutlived = (left: number): void => this.log.warn({ left }, "requests outlived drainTimeout");
    for (const listener of removed) {
      this.#drain(listener.close(drainTimeoutMs).then((left) => left > 0 && onOutlived(left)));
    }
    if (old !== undefined) this.#drain(old.retire(drainTimeoutMs, onOutlived));
  }

  #drain(draining: Promise<unknown>): void {
    const tracked = draining
      .catch((error: unknown) => this.log.error({ err: error }, "draining failed"))
      .finally(() => this.#draining.delete(tracked));
    this.#draining.add(tracked);
  }
}

/** Failures by which the gateway protects itself and others, and of what is known to be lost: no news one by one. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "AUTH_UNAVAILABLE",
  "CIRCUIT_OPEN",
  "CONCURRENCY_LIMITED",
  "OVERLOADED",
  "STORE_UNAVAILABLE",
  "SCRIPT_QUARANTINED",
  "TOKEN_UNAVAILABLE",
]);

function causeOf(error: GatewayError): string | undefined {
  const cause = error.cause as NodeJS.ErrnoException | undefined;
  return cause?.code ?? cause?.message;
}
