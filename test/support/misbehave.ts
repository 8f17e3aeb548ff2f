/**
 * Preloaded into the command line, this makes a gateway process misbehave: SIGWINCH hangs its main thread, SIGPWR
 * its first data thread, and with CRASH_ON_RESTART it ends at once when it is started again.
 */
import { isMainThread, workerData } from "node:worker_threads";

const hang = (): void => {
  for (;;);
};

const channel = new BroadcastChannel("misbehave");
channel.unref();
if (isMainThread) {
  const { kind } = JSON.parse(process.env["SLUICE_HANDOVER"] ?? "{}") as { kind?: string };
  if (kind === "restart" && process.env["CRASH_ON_RESTART"] !== undefined) process.exit(3);
  process.on("SIGWINCH", hang);
  process.on("SIGPWR", () => channel.postMessage("hang"));
} else if ((workerData as { thread?: number } | null)?.thread === 0) {
  channel.onmessage = hang;
}

/** Environment that preloads this file. */
export const MISBEHAVE = { NODE_OPTIONS: `--import=${import.meta.filename}` };
