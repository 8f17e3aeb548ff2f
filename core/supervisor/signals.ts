/** What signals mean. */
import { closeSync, openSync } from "node:fs";

export interface SignalActions {
  /** SIGTERM, SIGINT. */
  stop(): void;
  /** SIGHUP. */
  reload(): void;
  /** SIGUSR2. */
  upgrade(): void;
}

/** Acts on signals from now on. */
export function followSignals({ stop, reload, upgrade }: SignalActions): void {
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  process.on("SIGHUP", () => (isTerminalGone() ? stop() : reload()));
  process.on("SIGUSR2", upgrade);
}

/** SIGHUP also says that the terminal in which this was started is closed. */
function isTerminalGone(): boolean {
  if (process.stdout.isTTY !== true) return false;
  try {
    closeSync(openSync("/dev/tty", "r"));
    return false;
  } catch {
    return true;
  }
}
