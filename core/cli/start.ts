/** `sluice start`: runs the gateway until it is told to stop. */
import { dirname, resolve } from "node:path";
import type { CommandIo } from "./check.ts";
import type { CheckedConfig } from "../config/checked.ts";
import { type LoadedConfig, loadConfig } from "../config/load.ts";
import type { Catalogue } from "../plugin.ts";
import type { RootLog } from "../observe/log.ts";
import { compileOnce, startRuntime } from "../runtime.ts";
import type { DevView } from "./dev-view.ts";
import { ScriptLoader } from "../script/load.ts";
import type { Supervision } from "../supervisor/supervision.ts";

export interface StartOptions {
  /** Path of the configuration file. */
  file: string;
  /** Reload when a file of the configuration changes. */
  watch: boolean;
  catalogue: Catalogue;
  /** The module that data threads run. */
  worker: URL;
  /**
   * Where a developer sees what happens: each line, of all requests, of one thread. Otherwise there is a log. A
   * configuration that cannot be used is waited for then.
   */
  dev?: CommandIo;
  /** Resolves when the process is to end. */
  stopped: Promise<unknown>;
  /** The supervisor of this process, if it has one. */
  supervision: Supervision | undefined;
}

/** A gateway that serves. */
export interface Running {
  readonly log: RootLog;
  /** Reads the configuration again; gives what came of it, in a word. */
  reload(): Promise<string>;
  /**
   * Drains and closes everything.
   * @param patient another process serves on the same sockets: clients are not to notice
   */
  stop(patient: boolean): Promise<void>;
  /** Something that should never happen did: it is logged, and the gateway goes on. */
  onBug(error: unknown): void;
  /** Writes out what is buffered of the log. */
  flush(): void;
}

/**
 * Starts a gateway.
 * @throws ConfigLoadError when the configuration cannot be used
 */
export async function start(options: StartOptions): Promise<Running> {
  const { file, watch, catalogue, worker, dev, stopped, supervision } = options;
  const path = resolve(file);
  const view = dev && (await openView(dev, path));
  const compile = compileOnce(catalogue);
  const scripts = new ScriptLoader();
  const load = async (): Promise<LoadedConfig> => {
    const loaded = await loadConfig(path, { catalogue, compile, scripts });
    return view === undefined ? loaded : { ...loaded, config: forDevelopment(loaded.config) };
  };
  let first = await view?.waitFor(load, stopped);
  const loadNext = async (): Promise<LoadedConfig> => {
    const loaded = first ?? (await load());
    first = undefined;
    return loaded;
  };
  /** A thread of this process cannot be ended. */
  let isHopeless = false;
  // Not by exiting: that waits for all threads.
  const kill = (): void => void process.kill(process.pid, "SIGKILL");
  const runtime = await startRuntime(loadNext, catalogue, {
    worker,
    ...(view === undefined ? {} : { logTo: view, listener: view }),
    sockets: supervision,
    excuse: supervision && ((ms) => supervision.excuse(ms)),
    note: supervision?.note,
    quarantined: supervision?.quarantined,
    onHopeless(reason, script) {
      runtime.log.error({ reason }, "the process is to end");
      runtime.log.flush();
      isHopeless = true;
      if (supervision === undefined) kill();
      else supervision.giveUp(reason, script);
    },
  });
  const { control, log, threads } = runtime;
  const lastCrash = supervision?.lastCrash;
  if (lastCrash) {
    control.lastCrash = { ...lastCrash, at: new Date(lastCrash.at).toISOString() };
    if (supervision.kind === "restart")
      log.error(control.lastCrash, "the gateway ended unexpectedly and was started again");
    if (supervision.kind === "replacement")
      log.error(control.lastCrash, "this process takes the place of one that lost a thread");
  }
  control.metrics.own.collect(
    "sluice_process_restarts_total",
    "Times that the gateway process ended unexpectedly and was started again.",
    "counter",
    () => [[{}, supervision?.restarts ?? 0]],
  );
  if (watch) await control.watch();
  supervision?.ready(threads === 1, () => ({
    generation: control.generation,
    running: control.lastRoutes,
    quarantined: runtime.quarantined,
  }));
  const { pid } = process;
  log.info(
    { config: path, watch, pid, listeners: control.urls, admin: control.adminUrl },
    "sluice is serving",
  );
  return {
    log,
    async reload() {
      const { result } = await control.reload();
      if (result === "unchanged") log.info({}, "reload: the configuration is the one that serves");
      return result;
    },
    async stop(patient) {
      // During an upgrade two processes write this log.
      log.info({ pid }, "stopping: no new connections, requests under way may end");
      const cut = await control.stop(patient);
      await scripts.close();
      if (cut > 0) log.warn({ cut }, "requests were cut off at drainTimeout");
      log.info({ pid }, "stopped");
      await log.drain();
      if (isHopeless) kill();
    },
    onBug(error) {
      control.metrics.own.countError("INTERNAL");
      log.error({ err: error }, "an error was not handled; please report it");
    },
    flush: () => log.flush(),
  };
}

async function openView(io: CommandIo, path: string): Promise<DevView> {
  const { DevView } = await import("./dev-view.ts");
  return new DevView(io, dirname(path));
}

/** Everything is told, and one thread tells it. */
function forDevelopment(config: CheckedConfig): CheckedConfig {
  return { ...config, threads: 1, log: { ...config.log, level: "debug", access: true } };
}
