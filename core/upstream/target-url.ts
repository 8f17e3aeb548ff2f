/** URLs of targets: taken apart, compared, named. */

/** Where a target is: an origin, or a socket of this machine, and the path before every request's. */
export interface TargetAddress {
  readonly origin: string;
  readonly socketPath: string | undefined;
  /** Host header. */
  readonly host: string;
  /** Without a slash at its end; empty for none. */
  readonly basePath: string;
}

/** Takes the URL of a target apart; the checks of the configuration have made sure that it is one. */
export function parseTarget(url: string): TargetAddress {
  if (url.startsWith("unix:")) {
    const [, socketPath, path = ""] = /^unix:([^:]*):?(.*)$/.exec(url)!;
    const { origin, host, pathname } = new URL(`http://localhost${path}`);
    return { origin, socketPath, host, basePath: pathname.replace(/\/+$/, "") };
  }
  const { origin, host, pathname } = new URL(url);
  return { origin, socketPath: undefined, host, basePath: pathname.replace(/\/+$/, "") };
}

/** The same URL for the same target, however it is written. */
export function normalizeTarget(url: string): string {
  return url.startsWith("unix:") ? url.replace(/:?\/*$/, "") : new URL(url).href.replace(/\/+$/, "");
}

/** Tells a target from the others of its upstream: host and port, and the path if it has one. */
export function targetId(url: string): string {
  if (url.startsWith("unix:")) return url;
  const { host, port, protocol, pathname } = new URL(url);
  const ports = port === "" ? (protocol === "https:" ? ":443" : ":80") : "";
  return `${host}${ports}${pathname.replace(/\/+$/, "")}`;
}
