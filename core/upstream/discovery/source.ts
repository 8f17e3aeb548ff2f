/** A source: one kind of place where targets are found. */
import { isIP } from "node:net";
import { ConfigError } from "../../errors.ts";

/** A target that was found. */
export interface Found {
  readonly url: string;
  readonly weight: number;
}

/** What a source tells. */
export interface Follower {
  /** Aborted when nobody wants to know any more. */
  readonly signal: AbortSignal;
  /** These are the targets, all of them. */
  tell(targets: readonly Found[]): void;
  /**
   * The source fails. It goes on trying by itself, unless it ends.
   * @param targets what is to be used nevertheless; the last good set by default
   */
  failed(error: Error, targets?: readonly Found[]): void;
}

export interface Source {
  /** Its key in the configuration; a label in metrics. */
  readonly kind: string;
  /**
   * Follows the targets until the signal is aborted. Where it ends before that, by failing or not, it is begun
   * anew after a while, longer from time to time.
   */
  follow(follower: Follower): Promise<void>;
}

/** What the configuration says of all targets that are found. */
export interface FoundOptions {
  readonly scheme: "http" | "https";
  readonly path: string;
}

/** Which addresses are wanted. */
export type Family = "any" | "ipv4" | "ipv6";

/**
 * URL of a target.
 * @param host an address or a name, if a source tells the truth
 * @param port the scheme's when it is undefined
 * @returns undefined when there cannot be such a URL
 */
export function targetUrl(
  { scheme, path }: FoundOptions,
  host: unknown,
  port: number | undefined,
): string | undefined {
  if (typeof host !== "string") return undefined;
  const version = host.includes("%") ? 0 : isIP(host);
  if (version === 0 && !/^[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?\.?$/i.test(host)) return undefined;
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65536)) return undefined;
  const authority = version === 6 ? `[${host}]` : host;
  return `${scheme}://${authority}${port === undefined ? "" : `:${port}`}${path}`;
}

/** What is wrong, in one line, whatever was thrown. */
export function reasonOf(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  return (message || code || String(error)).split("\n")[0]!;
}

/**
 * The URL of an API.
 * @param pointer to it in the upstream, for the ConfigError
 */
export function parseApiUrl(text: string, pointer: string): URL {
  const url = URL.parse(text);
  if (url === null) throw new ConfigError("This is not a valid URL", pointer);
  if (url.username !== "" || url.password !== "")
    throw new ConfigError("This URL cannot have a user name or password; use `token`", pointer);
  if (url.search !== "" || url.hash !== "")
    throw new ConfigError("This URL cannot have a query or a fragment", pointer);
  return url;
}
