/** Which origins are allowed: compiled once from exact origins, wildcards and regular expressions. */
import { ConfigError } from "./errors.ts";
import { childPointer } from "./pointer.ts";

/** Decides on the value of an Origin field. */
export type OriginTest = (origin: string) => boolean;

/** One entry of the option. */
export type OriginEntry = string | { readonly regex: string };

const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/(\[[0-9a-f:.]+\]|[^/?#@:\s[\]]+)(?::(\d{1,5}|\*))?$/i;

/**
 * Compiles a list of origins. The origin `null` is allowed only where it is an entry itself.
 * @throws ConfigError for an entry that no browser would ever send
 */
export function compileOrigins(entries: readonly OriginEntry[], pointer: string): OriginTest {
  const exact = new Set<string>();
  const patterns: RegExp[] = [];
  for (const [i, entry] of entries.entries()) {
    const at = childPointer(pointer, i);
    if (typeof entry === "object") patterns.push(wholeRegex(entry.regex, `${at}/regex`));
    else if (entry === "null") exact.add(entry);
    else {
      const compiled = compileOrigin(entry, at);
      if (typeof compiled === "string") exact.add(compiled);
      else patterns.push(compiled);
    }
  }
  if (patterns.length === 0) return (origin) => exact.has(origin);
  const matches = (origin: string): boolean => patterns.some((pattern) => pattern.test(origin));
  return (origin) => exact.has(origin) || (origin !== "null" && !origin.includes(",") && matches(origin));
}

/** Matches whole origins only: `example\.com` must not let `https://example.com.attacker.example` in. */
function wholeRegex(source: string, pointer: string): RegExp {
  try {
    new RegExp(source); // by itself first, so that a stray ")" cannot close the group below
    return new RegExp(`^(?:${source})$`);
  } catch (error) {
    throw new ConfigError(`Not a regular expression: ${(error as Error).message}`, pointer);
  }
}

function compileOrigin(entry: string, pointer: string): string | RegExp {
  const [, scheme = "", host = "", port] = ORIGIN.exec(entry) ?? [];
  if (scheme === "") {
    const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s]+/i.exec(entry)?.[0];
    throw new ConfigError([
      {
        code: "CONFIG_OPTION_INVALID",
        message: `"${entry}" is not an origin: scheme, host and perhaps a port, without a path`,
        pointer,
        ...(origin === undefined ? {} : { suggestion: origin }),
      },
    ]);
  }
  const below = host.startsWith("*.");
  const base = below ? host.slice(2) : host;
  if (base.includes("*")) {
    throw new ConfigError(
      `"${entry}" has a * that is not the first label of the host or the port; write { regex } for more`,
      pointer,
    );
  }
  const origin = serializeOrigin(scheme.toLowerCase(), base, port === "*" ? undefined : port, pointer);
  if (!below && port !== "*") return origin;
  const start = `${scheme.toLowerCase()}://`;
  const subdomains = below ? "(?:[a-z0-9_-]+\\.)+" : "";
  const anyPort = port === "*" ? "(?::\\d{1,5})?" : "";
  return new RegExp(
    `^${RegExp.escape(start)}${subdomains}${RegExp.escape(origin.slice(start.length))}${anyPort}$`,
  );
}

/** As a browser writes it: lower case, no default port, IDNs in ASCII. */
function serializeOrigin(scheme: string, host: string, port: string | undefined, pointer: string): string {
  const text = `${scheme}://${host.toLowerCase()}${port === undefined ? "" : `:${port}`}`;
  if (scheme !== "http" && scheme !== "https") return text;
  const url = URL.parse(text);
  if (url === null) throw new ConfigError(`"${text}" is not an origin`, pointer);
  return url.origin;
}
