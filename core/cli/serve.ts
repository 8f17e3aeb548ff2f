/** `sluice start` in this process: signals, or the orders of a supervisor, to what the gateway does. */
import { setFlagsFromString } from "node:v8";
import { findConfig } from "../config/find.ts";
import type { StopMode } from "../supervisor/messages.ts";
import { followSignals } from "../supervisor/signals.ts";
import { type Orders, Supervision } from "../supervisor/supervision.ts";
import { createNotify, reloading } from "../supervisor/systemd.ts";
import { type CommandIo, diagnosticsOf, renderAll } from "./check.ts";
import { type Running, type StartOptions, start } from "./start.ts";

export interface ServeOptions extends Omit<StartOptions, "file" | "stopped" | "supervision"> {
  /** Path of the configuration; gateway.yaml, gateway.yml or gateway.json in the current folder by default. */
  file: string | undefined;
}

/**
 * Runs until it is told to stop; told so a second time, it ends the process at once.
 * @returns the exit status
 */
export async function serve({ file, ...options }: ServeOptions, errors: CommandIo): Promise<number> {
  // V8 may let the heap grow to four times what lives in it before it collects old objects; with thousands of
  // busy connections that is most of the memory. Twice costs no CPU time that can be measured.
  setFlagsFromString("--heap-growing-percent=100");
  const stopping = Promise.withResolvers<StopMode>();
  let running: Running | undefined;
  const orders: Orders = {
    stop(mode) {
      if (mode !== "now") return stopping.resolve(mode);
      running?.flush();
      process.exit(1);
    },
    reload: async () => (running === undefined ? "not needed: it is just starting" : running.reload()),
    log: ({ level, message, fields }) => running?.log[level](fields, message),
  };
  const supervision = Supervision.find(process.env);
  const notify =
    supervision === undefined
      ? createNotify(process.env, (line) => errors.writeError(`sluice: ${line}\n`))
      : () => {};
  supervision?.follow(orders);
  let isStopping = false;
  followSignals({
    stop() {
      // What a terminal or a service manager says to all processes, the supervisor hears too, and gives orders.
      if (process.connected && supervision !== undefined) return;
      orders.stop(isStopping ? "now" : "drain");
      isStopping = true;
    },
    async reload() {
      if (supervision !== undefined) return;
      notify(reloading());
      await orders.reload();
      notify({ READY: "1" });
    },
    upgrade() {
      if (supervision === undefined) running?.log.warn({}, "no upgrade: that needs a supervisor");
    },
  });
  try {
    const stopped = stopping.promise;
    running = await start({ ...options, file: findConfig(file, process.cwd()), stopped, supervision });
  } catch (error) {
    errors.write(renderAll(diagnosticsOf(error, undefined), errors));
    return 1;
  }
  const { onBug } = running;
  // Nothing that a client, an upstream or a stage does may end the process; what comes here is a bug of ours.
  process.on("uncaughtException", onBug);
  process.on("unhandledRejection", onBug);
  notify({ READY: "1" });
  const mode = await stopping.promise;
  notify({ STOPPING: "1" });
  await running.stop(mode === "handover");
  return 0;
}
