/**
 * The control side of a gateway: reads and checks the configuration, swaps it over all data threads or none,
 * watches the files it came from, and remembers what went wrong last.
 */
import type { Admin } from "./admin/admin.ts";
import type { CheckedConfig } from "./config/checked.ts";
import { ConfigLoadError, type ConfigSources, type Diagnostic, type LoadedConfig } from "./config/load.ts";
import { renderMessage } from "./config/render.ts";
import { watchConfig, type Watcher } from "./config/watch.ts";
import { ConfigError } from "./errors.ts";
import type { Log } from "./exchange.ts";
import type { DataThread, Prepared } from "./gateway.ts";
import { listenError } from "./listen-error.ts";
import type { RootLog } from "./observe/log.ts";
import type { MergedMetrics } from "./observe/merged-metrics.ts";
import type { Excuse } from "./observe/profiling.ts";
import type { ObservedThread, OwnThread } from "./observe/observed-thread.ts";
import type { Clock } from "./plugin.ts";
import type { MemoryStores } from "./store/memory-stores.ts";
import type { Watchdog } from "./script/watchdog.ts";
import type { SocketStore } from "./threads/sockets.ts";
import type { Keepers } from "./upstream/keepers.ts";

/** A reload that takes longer hangs. */
const LONGEST_RELOAD_MS = 60_000;

/** Told what comes of reloads, in the place of the log. */
export interface ReloadListener {
  onRefused(problems: readonly Diagnostic[]): void;
  /** What was refused is sound, or as it was before. */
  onRecovered(): void;
}

export interface ControlOptions {
  /** Reads and checks the configuration. @throws ConfigLoadError */
  load: () => Promise<LoadedConfig>;
  /** What serves: one thread, or a group that acts as one. */
  data: DataThread;
  /** Look after upstreams, for all threads. */
  keepers: Keepers;
  /** Those in memory, for all threads. */
  stores: Pick<MemoryStores, "open">;
  log: RootLog;
  clock: Clock;
  metrics: MergedMetrics;
  sockets: SocketStore;
  /** The control thread. */
  own: OwnThread;
  /** Who is told of configurations that are about to serve; none in a program that a gateway is a part of. */
  watchdog?: Pick<Watchdog, "follow" | "close"> | undefined;
  /** Who must not take this thread for one that hangs: a large configuration keeps it busy for seconds. */
  excuse?: Excuse | undefined;
  listener?: ReloadListener | undefined;
}

/** What a reload came to. */
export type ReloadResult =
  | { result: "activated"; generation: number }
  | { result: "unchanged"; generation: number }
  | { result: "refused"; generation: number; problems: Diagnostic[] };

/** Why the configuration on disk is not the one that serves. */
export interface ReloadFailure {
  /** Milliseconds since the epoch. */
  at: number;
  problems: Diagnostic[];
}

export type State = "starting" | "ready" | "draining" | "stopped";

export class Control {
  readonly log: Log;
  readonly metrics: MergedMetrics;
  /** How the process before this one ended, if it did so unexpectedly. */
  lastCrash: object | undefined;
  readonly #options: ControlOptions;
  #loaded: LoadedConfig | undefined;
  #generation = 0;
  /** `threads` of the first configuration. */
  #threads: CheckedConfig["threads"] | undefined;
  #failure: ReloadFailure | undefined;
  #state: State = "starting";
  #watcher: Watcher | undefined;
  #admin: Admin | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #stopped: Promise<number> | undefined;
  /** The reload that waits for its turn; all who ask meanwhile share it. */
  #waiting: Promise<ReloadResult> | undefined;

  constructor(options: ControlOptions) {
    this.#options = options;
    this.log = options.log;
    this.metrics = options.metrics;
  }

  get state(): State {
    return this.#state;
  }

  /** Number of the generation that serves; 0 before the first. */
  get generation(): number {
    return this.#generation;
  }

  /** The configuration that serves. */
  get loaded(): LoadedConfig | undefined {
    return this.#loaded;
  }

  /** Why the last reload was refused; undefined once one succeeds. */
  get failure(): ReloadFailure | undefined {
    return this.#failure;
  }

  /** All threads, this one first. */
  get threads(): readonly ObservedThread[] {
    return [this.#options.own, ...(this.#options.data.threads ?? [])];
  }

  /** Where the data listeners are. */
  get urls(): string[] {
    return this.#options.data.urls;
  }

  /** Names of the routes whose requests began last. */
  get lastRoutes(): string[] {
    return this.#options.data.lastRoutes ?? [];
  }

  /** Where the admin listener is, if there is one. */
  get adminUrl(): string | undefined {
    return this.#admin?.url;
  }

  /**
   * Loads the configuration for the first time and serves it.
   * @throws ConfigLoadError with every problem; nothing is left open
   */
  async start(): Promise<void> {
    const result = await this.reload();
    if (result.result === "refused") {
      this.#state = "stopped";
      throw new ConfigLoadError(result.problems, { files: [], folders: [] });
    }
    this.#state = "ready";
  }

  /** Reloads whenever a file of the configuration changes. Where the system cannot watch, that is logged. */
  async watch(): Promise<void> {
    const onError = (error: unknown): void =>
      this.log.error({ err: error }, "the configuration cannot be watched; reload it by hand");
    try {
      this.#watcher = await watchConfig(this.#loaded!, () => void this.reload(), { onError });
    } catch (error) {
      onError(error);
    }
  }

  /** Loads the configuration again and swaps it in, if it is sound and differs. Never throws for a bad one. */
  reload(): Promise<ReloadResult> {
    this.#waiting ??= (this.#queue = this.#queue.then(async () => {
      await this.#options.excuse?.(LONGEST_RELOAD_MS);
      this.#waiting = undefined;
      return this.#reload().finally(() => this.#options.excuse?.(0));
    })) as Promise<ReloadResult>;
    return this.#waiting;
  }

  /** What there is of a collection for operators to look at, by id. */
  async inspect(collection: string): Promise<Record<string, object>> {
    if (collection === "upstreams") return this.#options.keepers.inspect();
    return this.#options.data.inspect(collection);
  }

  /**
   * Changes one of a collection; undefined when there is none of that id.
   * @throws ConfigError with pointers into the patch
   */
  async change(collection: string, id: string, patch: unknown): Promise<object | undefined> {
    if (collection === "upstreams") return this.#options.keepers.change(id, patch);
    return this.#options.data.change(collection, id, patch);
  }

  /**
   * Asks one of a collection something.
   * @returns what each thread that has it answers; nothing when there is none of that id
   * @throws GatewayError when it cannot be asked now
   */
  ask(collection: string, id: string, question: unknown): Promise<object[]> {
    return this.#options.data.ask(collection, id, question);
  }

  /**
   * Not ready, no new connections, requests under way end (up to `drainTimeout`), everything closed.
   * @param patient another process serves on the same sockets: clients are not to notice
   * @returns how many requests were cut off
   */
  stop(patient = false): Promise<number> {
    this.#stopped ??= this.#stop(patient);
    return this.#stopped;
  }

  async #stop(patient: boolean): Promise<number> {
    this.#state = "draining";
    // Who asks how the gateway is means the other one.
    if (patient) await this.#admin?.close();
    await this.#watcher?.close();
    await this.#queue;
    const drainMs = this.#loaded?.config.drainTimeoutMs ?? 0;
    const cut = await this.#options.data.stop(drainMs, patient);
    await this.#admin?.close();
    await this.#options.keepers.close();
    this.metrics.close();
    this.#options.own.close();
    this.#options.watchdog?.close();
    this.#state = "stopped";
    return cut;
  }

  async #reload(): Promise<ReloadResult> {
    const { clock, metrics } = this.#options;
    // What is stopped stays so: nothing would close what a reload opens.
    if (this.#stopped !== undefined) return { result: "unchanged", generation: this.#generation };
    let loaded: LoadedConfig;
    try {
      loaded = await this.#options.load();
    } catch (error) {
      return this.#refuse(error, undefined);
    }
    if (loaded.config.hash === this.#loaded?.config.hash) {
      this.#follow(loaded);
      this.#loaded = loaded;
      if (this.#failure !== undefined) {
        this.#recover();
        this.log.info({ generation: this.#generation }, "configuration is as it was before the error");
      }
      return { result: "unchanged", generation: this.#generation };
    }
    try {
      await this.#swap(loaded);
    } catch (error) {
      return this.#refuse(error, loaded);
    }
    this.#follow(loaded);
    this.#loaded = loaded;
    this.#recover();
    metrics.own.countReload("success");
    metrics.own.reloadedAt = clock.now() / 1000;
    const { routes } = loaded.config;
    this.#threads ??= loaded.config.threads;
    if (this.#threads !== loaded.config.threads) {
      this.log.warn(
        { threads: this.#threads },
        "`threads` has changed: that takes effect when the process starts anew",
      );
    }
    this.log.info({ generation: this.#generation, routes: routes.length }, "configuration activated");
    return { result: "activated", generation: this.#generation };
  }

  /** Two phases: all is prepared, then all is activated; one failure and all is discarded. */
  async #swap(loaded: LoadedConfig): Promise<void> {
    const { config } = loaded;
    const number = this.#generation + 1;
    const upstreams = await this.#options.keepers.open(config);
    const closeStores = this.#options.stores.open(config);
    let prepared: Prepared | undefined;
    let admin: Admin | undefined;
    try {
      prepared = await this.#options.data.prepare(config, number, upstreams.feeds);
      admin = await this.#prepareAdmin(loaded);
    } catch (error) {
      await prepared?.discard();
      await upstreams.close();
      await closeStores();
      throw error;
    }
    upstreams.activate();
    this.#options.watchdog?.follow(config);
    prepared.activate();
    prepared.retired
      .then(() => Promise.all([upstreams.close(), closeStores()]))
      .catch((error: unknown) => this.log.error({ err: error }, "upstreams failed to close"));
    this.#generation = number;
    this.#options.log.setLevel(config.log.level);
    if (admin !== this.#admin) {
      const old = this.#admin;
      this.#admin = admin;
      if (old !== undefined) this.#options.sockets.drop([adminKey(old.address)]);
      admin?.begin();
      await old?.close();
    }
    admin?.update(config.admin!);
  }

  /** The admin listener for a configuration: the one there is, if its address stays. */
  async #prepareAdmin(loaded: LoadedConfig): Promise<Admin | undefined> {
    const { admin } = loaded.config;
    if (admin === undefined) return undefined;
    if (this.#admin?.address === admin.address) return this.#admin;
    const { Admin } = await import("./admin/admin.ts");
    const fresh = new Admin(admin, this);
    try {
      const { sockets } = this.#options;
      const fd = sockets.take(adminKey(admin.address));
      await fresh.listen(fd);
      if (fd === undefined) sockets.hold(adminKey(admin.address), fresh.socket);
    } catch (error) {
      await fresh.close();
      throw listenError(error, admin.address, "/admin/address");
    }
    return fresh;
  }

  #refuse(error: unknown, loaded: LoadedConfig | undefined): ReloadResult {
    const problems = this.#toDiagnostics(error, loaded);
    this.#failure = { at: this.#options.clock.now(), problems };
    this.metrics.own.countReload("failure");
    const sources = error instanceof ConfigLoadError ? error : loaded;
    if (sources !== undefined) this.#follow(sources);
    const generation = this.#generation;
    const { listener } = this.#options;
    if (listener !== undefined && generation > 0) listener.onRefused(problems);
    else if (generation > 0) {
      for (const problem of problems) {
        const { code, file, line, column } = problem;
        this.log.error({ code, file, line, column }, `configuration refused: ${renderMessage(problem)}`);
      }
      const count = problems.length;
      this.log.error({ generation, problems: count }, "the previous configuration keeps serving");
    }
    return { result: "refused", generation, problems };
  }

  #recover(): void {
    if (this.#failure !== undefined) this.#options.listener?.onRecovered();
    this.#failure = undefined;
  }

  #toDiagnostics(error: unknown, loaded: LoadedConfig | undefined): Diagnostic[] {
    if (error instanceof ConfigLoadError) return [...error.diagnostics];
    if (error instanceof ConfigError && loaded !== undefined) return loaded.locate(error.problems);
    this.log.error({ err: error }, "the configuration could not be used, for a reason that is not in it");
    return [{ code: "INTERNAL", message: (error as Error)?.message ?? String(error), pointer: "" }];
  }

  #follow(sources: ConfigSources): void {
    this.#watcher?.update(sources);
  }
}

/** What the socket of the admin listener is kept under. */
function adminKey(address: string): string {
  return `admin ${address}`;
}
