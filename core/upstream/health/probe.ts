/** What a check asks: where a target is, and how to speak TLS to it. */
import { isIP } from "node:net";
import type { SecureContext } from "node:tls";
import type { ConnectorTls } from "../connector.ts";
import { parseTarget } from "../target-url.ts";

/** Where to connect, in the words of `node:net` and `node:tls`. */
export interface ProbeTarget {
  /** Host header. */
  readonly authority: string;
  readonly address: { path: string } | { host: string; port: number };
  /** How to speak TLS; undefined for not. */
  readonly tls: ProbeTls | undefined;
}

export interface ProbeTls {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
  /** Empty for an address, which has no SNI; never what the Host header says, as with requests. */
  readonly servername: string;
  readonly ALPNProtocols: string[];
}

/**
 * Asks a target once.
 * @param signal ends the check, and whatever it left open
 * @returns what is wrong; undefined when the target is well
 * @throws Error that says what is wrong, too
 */
export type Probe = (target: ProbeTarget, signal: AbortSignal) => Promise<string | undefined>;

/**
 * Where to ask a target.
 * @param port instead of its own; a socket of this machine has none
 * @param tls asked when the target speaks TLS
 */
export function probeTarget(url: string, port: number | undefined, tls: () => ConnectorTls): ProbeTarget {
  const { origin, host: authority, socketPath } = parseTarget(url);
  if (socketPath !== undefined) return { authority, address: { path: socketPath }, tls: undefined };
  const address = new URL(origin);
  if (port !== undefined) address.port = String(port);
  const isSecure = address.protocol === "https:";
  const host = address.hostname.replace(/^\[(.*)\]$/, "$1");
  return {
    authority: address.host,
    address: { host, port: Number(address.port) || (isSecure ? 443 : 80) },
    tls: isSecure ? probeTls(host, tls()) : undefined,
  };
}

function probeTls(host: string, { context, serverName, verify }: ConnectorTls): ProbeTls {
  return {
    secureContext: context,
    rejectUnauthorized: verify,
    servername: serverName ?? (isIP(host) === 0 ? host : ""),
    ALPNProtocols: ["http/1.1"],
  };
}
