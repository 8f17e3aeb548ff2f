/** The only door to pino: the gateway's log, JSON lines or pretty ones, on standard output. */
import { createRequire } from "node:module";
import { type DestinationStream, pino } from "pino";
import type { Log } from "../exchange.ts";
import { LogOutput } from "./log-output.ts";
import { describeLine } from "./pretty.ts";

const require = createRequire(import.meta.url);

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

export interface LogOptions {
  level: LogLevel;
  /** `auto`: pretty when standard output is a terminal. */
  format: "auto" | "json" | "pretty";
}

/** A log that can change with the configuration and be flushed before the process ends. */
export interface RootLog extends Log {
  readonly level: LogLevel;
  /** Takes lines of another log of this kind, as JSON, each with its line break. */
  append(lines: string): void;
  setLevel(level: LogLevel): void;
  flush(): void;
  /** The same without hurry: nothing is written twice. */
  drain(): Promise<void>;
}

/**
 * Opens the log.
 * @param sink where lines go instead of standard output, for tests and embedding
 * @param fields what every line says
 */
export function createLog(
  options: LogOptions,
  sink?: { write(line: string): void },
  fields: object | null = null,
): RootLog {
  const { level } = options;
  const settings = {
    level,
    base: fields,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (sink !== undefined) return wrap(pino(settings, sink as DestinationStream), sink, DIRECT);
  const isPretty =
    options.format === "pretty" || (options.format === "auto" && process.stdout.isTTY === true);
  if (isPretty) {
    const pretty = require("pino-pretty") as typeof import("pino-pretty");
    const stream = pretty({
      colorize: process.stdout.isTTY === true && !process.env["NO_COLOR"],
      translateTime: "HH:MM:ss.l",
      hideObject: true,
      messageFormat: describeLine,
      sync: true,
    });
    return wrap(pino(settings, stream), stream, DIRECT);
  }
  const output = new LogOutput(1);
  return wrap(pino(settings, output), output, output);
}

/** A destination that has nothing to flush. */
const DIRECT = { flush: () => {}, drain: async () => {} };

function wrap(
  logger: ReturnType<typeof pino>,
  sink: { write(lines: string): unknown },
  output: Pick<RootLog, "flush" | "drain">,
): RootLog {
  return Object.assign(logger as unknown as Log, {
    setLevel: (level: LogLevel) => {
      logger.level = level;
    },
    append: (lines: string) => void sink.write(lines),
    flush: () => output.flush(),
    drain: () => output.drain(),
  }) as RootLog;
}
