/** What scripts write into the gateway's log, by `ctx.log` and by the console. A line never stops a hook. */
import type { Guest } from "./shape.ts";

export function guestLog(g: Guest): void {
  const MESSAGE_CHARS = 4096;
  const FIELDS_CHARS = 4096;
  const { stringify } = JSON;

  const describe = (value: unknown): string => {
    try {
      if (typeof value !== "object" || value === null || value instanceof Error) return String(value);
      return stringify(value);
    } catch {
      return "[object Object]";
    }
  };

  const plain = (fields: unknown): unknown => {
    try {
      const json = stringify(fields) as string | undefined;
      return json !== undefined && json.length > FIELDS_CHARS ? "too long to be logged" : fields;
    } catch {
      return "cannot be logged";
    }
  };

  g.log = (run, level, message, fields) => {
    const text = describe(message);
    const cut = text.length > MESSAGE_CHARS ? `${text.slice(0, MESSAGE_CHARS)}…` : text;
    const line = fields === undefined ? [level, cut] : [level, cut, plain(fields)];
    g.ask("log", run, stringify(line));
  };

  const line =
    (level: string) =>
    (...parts: unknown[]): void =>
      g.log(g.running, level, parts.map(describe).join(" "), undefined);
  const console = {
    debug: line("debug"),
    info: line("info"),
    log: line("info"),
    warn: line("warn"),
    error: line("error"),
  };
  Object.defineProperty(globalThis, "console", {
    value: console,
    writable: true,
    enumerable: false,
    configurable: true,
  });
}
