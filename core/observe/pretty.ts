/** Log lines for people at a terminal: what happened first, then what is worth knowing of it. */

type Fields = Record<string, unknown>;

/** Fields that the rest of the line says already, or that pino adds. */
const SHOWN = new Set(["level", "time", "msg"]);
const SHOWN_OF_REQUEST = new Set([...SHOWN, "method", "path", "status", "durationMs", "host", "gatewayMs"]);
const SHOWN_OF_PROBLEM = new Set([...SHOWN, "file", "line", "column", "code"]);

/** The text of a line after its time and level. */
export function describeLine(fields: Fields): string {
  const { msg, method, path, status, durationMs, file, line, column, code } = fields;
  if (msg === "request") {
    const took = `${Number(durationMs).toFixed(1)} ms`;
    return `${method} ${path} ${status} ${took}${restOf(fields, SHOWN_OF_REQUEST)}`;
  }
  if (typeof file === "string" && typeof line === "number") {
    return `${file}:${line}:${column} ${code} ${msg}${restOf(fields, SHOWN_OF_PROBLEM)}`;
  }
  return `${msg}${restOf(fields, SHOWN)}`;
}

function restOf(fields: Fields, shown: ReadonlySet<string>): string {
  let rest = "";
  let stack = "";
  for (const [key, value] of Object.entries(fields)) {
    if (shown.has(key) || value === "" || value === 0 || (key === "client" && value === "127.0.0.1"))
      continue;
    if (key === "err")
      stack = `\n    ${String((value as Fields)["stack"] ?? value).replaceAll("\n", "\n    ")}`;
    else rest += ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`;
  }
  return `${rest === "" ? "" : ` ${rest}`}${stack}`;
}
