/** `sluice start`: runs the gateway until it is told to stop. */
import { resolve } from "node:path";
import { loadConfig } from "../config/load.ts";
import type { Catalogue } from "../plugin.ts";
import { compileOnce, startRuntime } from "../runtime.ts";

export interface StartOptions {
  /** Path of the configuration file. */
  file: string;
  /** Reload when a file of the configuration changes. */
  watch: boolean;
  catalogue: Catalogue;
  /** The module that data threads run. */
  worker: URL;
}

/** A gateway that serves. */
export interface Running {
  /** Drains and closes everything. */
  stop(): Promise<void>;
  /** Something that should never happen did: it is logged, and the gateway goes on. */
  onBug(error: unknown): void;
  /** Writes out what is buffered of the log. */
  flush(): void;
}

/**
 * Starts a gateway.
 * @throws ConfigLoadError when the configuration cannot be used
 */
export async function start({ file, watch, catalogue, worker }: StartOptions): Promise<Running> {
  const path = resolve(file);
  const compile = compileOnce(catalogue);
  const { control, log } = await startRuntime(() => loadConfig(path, { catalogue, compile }), catalogue, {
    worker,
  });
  if (watch) await control.watch();
  log.info({ config: path, watch, listeners: control.urls, admin: control.adminUrl }, "sluice is serving");
  return {
    async stop() {
      log.info({}, "stopping: no new connections, requests under way may end");
      const cut = await control.stop();
      if (cut > 0) log.warn({ cut }, "requests were cut off at drainTimeout");
      log.info({}, "stopped");
      await log.drain();
    },
    onBug(error) {
      control.metrics.own.countError("INTERNAL");
      log.error({ err: error }, "an error was not handled; please report it");
    },
    flush: () => log.flush(),
  };
}
