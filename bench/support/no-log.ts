/** A log that nobody reads. */
import type { Log } from "../../core/exchange.ts";

export const NO_LOG: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => NO_LOG,
};
