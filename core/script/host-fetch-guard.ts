/**
 * Where scripts may send requests: to granted hosts, at public addresses. Addresses are checked where they are used, when
 * a connection is made, so that a name which changes its mind in between (DNS rebinding) gains nothing.
 */
import { lookup, type LookupAddress } from "node:dns";
import { isIP, type LookupFunction } from "node:net";
import { parseAddress, RangeSet } from "../address-ranges.ts";
import type { FetchGrant } from "./script.ts";

/** Finds all addresses of a name; `dns.lookup`, but for tests. */
export type Resolve = (
  name: string,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Raised for a name that has no address which may be used. */
export class AddressRefused extends Error {
  override readonly name = "AddressRefused";
}

/** IPv4 that is not public: IANA's special-purpose registry, multicast, what is reserved, and metadata of Azure. */
const NOT_PUBLIC = rangesOf([
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
  // Within what is public of IPv6: protocols (Teredo among them), documentation, and IPv4 behind 6to4.
  "2001::/23",
  "2001:db8::/32",
  "2002::/16",
  "3fff::/20",
]);
/** All of IPv6 that is handed out. Not in it: loopback, local and mapped addresses, and IPv4 behind NAT64. */
const PUBLIC_IPV6 = rangesOf(["2000::/3"]);

interface HostPattern {
  /** In lower case, as URLs have it; without `*`. */
  readonly name: string;
  readonly isBelow: boolean;
  /** The default one of the scheme by default. */
  readonly port: string | undefined;
}

export class FetchGuard {
  readonly #hosts: readonly HostPattern[];
  readonly #allowed: RangeSet;
  readonly #resolve: Resolve;

  constructor(
    { hosts, privateAddresses }: Pick<FetchGrant, "hosts" | "privateAddresses">,
    resolve: Resolve = (name, callback) => lookup(name, { all: true }, callback),
  ) {
    this.#hosts = hosts.map(parsePattern);
    this.#allowed = rangesOf(privateAddresses);
    this.#resolve = resolve;
  }

  allowsHost({ protocol, hostname, port }: URL): boolean {
    const usual = protocol === "https:" ? "443" : "80";
    return this.#hosts.some(
      (pattern) =>
        (port || usual) === (pattern.port ?? usual) &&
        (pattern.isBelow ? hostname.endsWith(pattern.name) : hostname === pattern.name),
    );
  }

  /** False for a host that is an address which may not be used. Names are looked at when they are resolved. */
  allowsLiteral({ hostname }: URL): boolean {
    const host = bareHost(hostname);
    return isIP(host) === 0 || this.allowsAddress(host);
  }

  allowsAddress(text: string): boolean {
    const address = parseAddress(text);
    if (address === undefined) return false;
    if (this.#allowed.has(address)) return true;
    return !NOT_PUBLIC.has(address) && (address.bits === 32 || PUBLIC_IPV6.has(address));
  }

  /** Resolves a name for a connection that is being made: to addresses that may be used only. */
  readonly lookup: LookupFunction = (name, options, callback) => {
    this.#resolve(name, (error, all) => {
      if (error !== null) return callback(error, "");
      const allowed = all.filter(({ address }) => this.allowsAddress(address));
      const [first] = allowed;
      if (first === undefined) return callback(new AddressRefused(), "");
      if (options.all) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}

/** Those of granted hosts that are addresses, and may not be asked because they are not public: where in the list, and which. */
export function privateHosts(
  hosts: readonly string[],
  privateAddresses: readonly string[],
): [index: number, address: string][] {
  const guard = new FetchGuard({ hosts, privateAddresses });
  const found: [number, string][] = [];
  for (const [i, host] of hosts.entries()) {
    const address = bareHost(host.replace(/:\d+$/, ""));
    if (isIP(address) !== 0 && !guard.allowsAddress(address)) found.push([i, address]);
  }
  return found;
}

/** The host without the brackets that URLs have around IPv6. */
export function bareHost(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, "");
}

function parsePattern(text: string): HostPattern {
  const isBelow = text.startsWith("*.");
  const [, host = "", port] = /^(.*?)(?::(\d+))?$/.exec(isBelow ? text.slice(2) : text) ?? [];
  const name = URL.parse(`http://${host}`)?.hostname ?? host;
  return {
    name: isBelow ? `.${name}` : name,
    isBelow,
    port: port === undefined ? port : String(Number(port)),
  };
}

function rangesOf(entries: readonly string[]): RangeSet {
  const ranges = new RangeSet();
  for (const entry of entries) ranges.add(entry);
  return ranges;
}
