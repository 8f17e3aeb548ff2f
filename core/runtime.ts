/** Puts a gateway together from its parts: what `sluice start` and embedding share. */
import type { LoadedConfig } from "./config/load.ts";
import type { CheckedConfig } from "./config/checked.ts";
import { systemClock } from "./clock.ts";
import { Control, type ReloadListener } from "./control.ts";
import type { DataThread, GatewayOptions } from "./gateway.ts";
import { KeepStore } from "./keep.ts";
import { createLog, type RootLog } from "./observe/log.ts";
import { MergedMetrics } from "./observe/merged-metrics.ts";
import { GatewayMetrics } from "./observe/metrics.ts";
import { OwnThread } from "./observe/observed-thread.ts";
import type { Excuse } from "./observe/profiling.ts";
import { type ImposeContext, imposeKilled, imposeStall, stillKilled } from "./script/impose.ts";
import { type ScriptName, ScriptNames } from "./script/names.ts";
import { Watchdog, type WatchdogOptions } from "./script/watchdog.ts";
import { ownSystemId } from "./supervisor/thread-time.ts";
import { canReusePort, countThreads } from "./threads/count.ts";
import { ThreadGroup } from "./threads/thread-group.ts";
import { createSharedMemory, SharedMemory } from "./threads/shared-memory.ts";
import { collectSharedCells } from "./threads/shared-metrics.ts";
import { answerStore } from "./store/remote-store.ts";
import { MemoryStores } from "./store/memory-stores.ts";
import { createOpenStore, openNothing } from "./store/stores.ts";
import { NO_SOCKETS, type ProcessSockets, socketsOf } from "./threads/sockets.ts";
import { createVitals, Vitals } from "./threads/vitals.ts";
import type { Problem } from "./errors.ts";
import type { Log } from "./exchange.ts";
import { Keepers } from "./upstream/keepers.ts";
import type { Catalogue } from "./plugin.ts";

/** A gateway that serves. */
export interface Runtime {
  readonly control: Control;
  readonly log: RootLog;
  /** Data threads; with one, the calling thread does everything. */
  readonly threads: number;
  /** Those of {@link RuntimeOptions.quarantined} that still are. */
  readonly quarantined: readonly ScriptName[];
}

export interface RuntimeOptions {
  /** Where log lines go instead of standard output. */
  readonly logTo?: { write(line: string): void };
  /** The module that data threads run; without one this thread serves. */
  readonly worker?: URL;
  /** Where listening sockets come from, and who keeps them; nobody by default. */
  readonly sockets?: ProcessSockets | undefined;
  /** Who must not take this thread for one that hangs. */
  readonly excuse?: Excuse | undefined;
  /** File descriptor for notes that outlive the process. */
  readonly note?: number | undefined;
  /** Scripts that processes before this one ended with. */
  readonly quarantined?: readonly ScriptName[] | undefined;
  /** Told what comes of reloads, in the place of the log. */
  readonly listener?: ReloadListener | undefined;
  /** Told when only the end of the process helps. */
  readonly onHopeless?: (reason: string, script?: ScriptName) => void;
}

/**
 * Starts a gateway.
 * @param load reads and checks the configuration; called again for every reload
 * @throws ConfigLoadError when the first configuration cannot be used; nothing is left open
 */
export async function startRuntime(
  load: () => Promise<LoadedConfig>,
  catalogue: Catalogue,
  options: RuntimeOptions = {},
): Promise<Runtime> {
  const {
    logTo,
    worker,
    sockets = NO_SOCKETS,
    excuse,
    note,
    quarantined = [],
    listener,
    onHopeless,
  } = options;
  // The log's settings are part of the configuration, so the first one is read before there is a log.
  let first: LoadedConfig | undefined = await load();
  const log = createLog(first.config.log, logTo);
  const threads = worker === undefined ? 1 : await countThreads(first.config.threads, log);
  const memory = createSharedMemory(threads);
  const counted = new GatewayMetrics();
  const isAlone = worker === undefined || threads === 1;
  const name = isAlone ? "0" : "control";
  const metrics = new MergedMetrics(counted, name);
  const common = { log, clock: systemClock, metrics, sockets };
  const keepers = new Keepers({
    ...common,
    metrics: counted,
    kept: new KeepStore(),
    threads,
    random: Math.random,
    advise: (doubts) => void doubts.then((problems) => warn(log, problems)),
  });
  const stores = new MemoryStores(systemClock, counted);
  const shared = new SharedMemory(memory, isAlone ? 0 : threads);
  collectSharedCells(shared, counted, systemClock);
  const imposing = { shared, clock: systemClock, log };
  imposeKilled(imposing, quarantined);
  const vitals = createVitals(isAlone ? 1 : threads);
  const scripts = new ScriptNames();
  const own = new Vitals(vitals, 0);
  if (isAlone) own.systemId = ownSystemId();
  const group = isAlone
    ? undefined
    : new ThreadGroup({
        ...common,
        threads,
        memory,
        vitals,
        scripts,
        entry: worker,
        calls: {
          askStore: async (id, call) => answerStore(stores.find(id), call),
          giveUp: async (reason, script) => onHopeless?.(reason, script),
        },
        onGone(thread) {
          keepers.forgetThread(thread);
          shared.forgetThread(thread);
        },
        onBlamed: (script) => imposeStall(imposing, script),
        onHopeless: (thread) => onHopeless?.(`the data thread ${thread} cannot be ended`),
      });
  // A program that a gateway is a part of is not ended for a script.
  const watchdog = worker && watchScripts({ vitals, note, names: scripts, log }, group, imposing);
  const data =
    group ??
    (await openGateway({
      ...common,
      // The process that comes after this one may have more threads.
      sockets: socketsOf(0, sockets),
      ...(sockets !== NO_SOCKETS && (await canReusePort()) ? { sharesPorts: "with-successor" } : {}),
      metrics: counted,
      catalogue,
      shared,
      vitals: own,
      openStore: createOpenStore({ ...common, metrics: counted, memory: (id) => stores.find(id) }),
      giveUp: worker && onHopeless,
      random: Math.random,
    }));
  const control = new Control({
    ...common,
    data,
    keepers,
    stores,
    watchdog,
    own: new OwnThread(name, counted, systemClock, excuse),
    excuse,
    listener,
    async load() {
      const loaded = first ?? (await load());
      first = undefined;
      return loaded;
    },
  });
  try {
    await control.start();
  } catch (error) {
    await control.stop();
    throw error;
  }
  return {
    control,
    log,
    threads: isAlone ? 1 : threads,
    get quarantined() {
      return stillKilled(imposing, quarantined);
    },
  };
}

/** Has scripts watched that keep a thread of the group, or this one when there is no group. */
function watchScripts(
  options: Pick<WatchdogOptions, "vitals" | "note" | "names" | "log">,
  group: ThreadGroup | undefined,
  imposing: ImposeContext,
): Watchdog {
  return new Watchdog({
    ...options,
    isOnlyThread: group === undefined,
    onStall(stall) {
      if (stall.script !== undefined) imposeStall(imposing, stall.script);
      group?.giveUp(stall);
    },
  });
}

/** A control thread whose data threads serve needs nothing of what serves. */
async function openGateway(options: GatewayOptions): Promise<DataThread> {
  const { Gateway } = await import("./gateway.ts");
  return new Gateway(options);
}

/**
 * Gives a function that builds what a configuration says and closes it again, to find what only building finds.
 * It throws a ConfigError with pointers into the configuration, and gives what is doubtful but no error.
 */
export function compileOnce(catalogue: Catalogue): (config: CheckedConfig) => Promise<readonly Problem[]> {
  return async (config) => {
    const advice: Promise<readonly Problem[]>[] = [];
    const around = {
      catalogue,
      log: createLog({ level: "silent", format: "json" }),
      clock: systemClock,
      metrics: new GatewayMetrics(),
      kept: new KeepStore(),
      shared: new SharedMemory(createSharedMemory(1), 0),
      vitals: new Vitals(createVitals(1), 0),
      openStore: openNothing,
      random: Math.random,
    };
    const advise = (doubts: Promise<readonly Problem[]>): void => void advice.push(doubts);
    const keepers = new Keepers({ ...around, threads: 1, advise });
    const { feeds } = await keepers.open(config);
    try {
      const { buildGeneration } = await import("./generation.ts");
      const generation = await buildGeneration(0, config, around, feeds);
      const doubts = await Promise.all(advice);
      await generation.retire(0);
      return doubts.flat();
    } finally {
      await keepers.close();
    }
  };
}

function warn(log: Log, problems: readonly Problem[]): void {
  for (const { code, message, pointer } of problems) {
    log.warn({ code, pointer }, `configuration warning: ${message}`);
  }
}
