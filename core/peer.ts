/** The other end of a client's connection, and what proxies on the way say of the client (RFC 7239). */
import ipaddr from "ipaddr.js";
import { parseAddress, RangeSet } from "./address-ranges.ts";
import { ConfigError } from "./errors.ts";
import type { HeaderList } from "./headers.ts";

/** Decides whether an address is a trusted proxy's. */
export type TrustTest = (address: string) => boolean;

/**
 * Compiles addresses and CIDR ranges.
 * @throws ConfigError CONFIG_CIDR with a pointer to the entry
 */
export function compileTrust(entries: readonly string[], pointer = ""): TrustTest {
  if (entries.length === 0) return () => false;
  const ranges = new RangeSet();
  for (const [i, entry] of entries.entries()) {
    if (ranges.add(entry)) continue;
    throw new ConfigError(`Not an address or CIDR range: ${entry}`, `${pointer}/${i}`, "CONFIG_CIDR");
  }
  return (text) => {
    const address = parseAddress(text);
    return address !== undefined && ranges.has(address);
  };
}

/** An address without the IPv6 form of IPv4 (`::ffff:192.0.2.1`) and without a zone. */
export function plainAddress(address: string): string {
  if (address.startsWith("::ffff:") && address.includes(".")) return address.slice(7);
  const zone = address.indexOf("%");
  return zone === -1 ? address : address.slice(0, zone);
}

/** What is known of a connection, worked out once for all its requests. */
export class Peer {
  /** Address of the other end of the socket. */
  readonly address: string;
  /** Port of ours that it connected to. */
  readonly localPort: string;
  readonly scheme: "http" | "https";
  /** True when it is a trusted proxy, whose word about the client counts. */
  readonly trusted: boolean;
  readonly #isTrusted: TrustTest;
  #authority = "";
  #element = "";

  constructor(address: string, localPort: number, scheme: "http" | "https", isTrusted: TrustTest) {
    this.address = plainAddress(address);
    this.localPort = String(localPort);
    this.scheme = scheme;
    this.trusted = isTrusted(this.address);
    this.#isTrusted = isTrusted;
  }

  /** This hop as an element of Forwarded (RFC 7239 section 4). */
  forwardedElement(authority: string): string {
    if (this.#authority !== authority || this.#element === "") {
      this.#authority = authority;
      const by = this.address.includes(":") ? `"[${this.address}]"` : this.address;
      const host = authority === "" ? "" : `host="${authority}";`;
      this.#element = `for=${by};${host}proto=${this.scheme}`;
    }
    return this.#element;
  }

  /**
   * The client's own address: walking X-Forwarded-For (or Forwarded, when that is all there is) from the
   * right, the first that is not a trusted proxy's. The peer's own when the peer is not trusted.
   */
  clientAddress(headers: HeaderList): string {
    if (!this.trusted) return this.address;
    const chain = forwardedChain(headers);
    let client = this.address;
    for (let i = chain.length - 1; i >= 0; i--) {
      const hop = chain[i];
      if (hop === undefined) break;
      client = hop;
      if (!this.#isTrusted(hop)) break;
    }
    return client;
  }

  /** `http` or `https` as the client used it, which a trusted proxy may say. */
  clientScheme(headers: HeaderList): "http" | "https" {
    if (!this.trusted) return this.scheme;
    const said =
      headers.get("x-forwarded-proto")?.split(",")[0] ??
      forwardedParameter(headers.getJoined("forwarded"), "proto");
    const scheme = said?.trim().toLowerCase();
    return scheme === "http" || scheme === "https" ? scheme : this.scheme;
  }
}

/** Addresses that proxies added, oldest first; undefined for one that is not an address. */
function forwardedChain(headers: HeaderList): (string | undefined)[] {
  const simple = headers.getJoined("x-forwarded-for");
  if (simple !== undefined) return simple.split(",").map(hopAddress);
  // Split at every comma, in quotes or not: a quote that the client left open must not swallow what proxies added.
  const elements = headers.getJoined("forwarded")?.split(",") ?? [];
  return elements.map((element) => hopAddress(forwardedParameter(element, "for") ?? ""));
}

/** `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`; anything else is undefined. */
function hopAddress(text: string): string | undefined {
  const hop = text.trim();
  const bracketed = /^\[([0-9A-Fa-f:.]+)\](?::\d+)?$/.exec(hop)?.[1];
  const withPort = /^([\d.]+):\d+$/.exec(hop)?.[1];
  const address = bracketed ?? withPort ?? hop;
  return ipaddr.IPv4.isValidFourPartDecimal(address) || ipaddr.IPv6.isValid(address)
    ? plainAddress(address)
    : undefined;
}

/** Parameters of a Forwarded element that are read (RFC 7239 section 4), compiled once. */
const PARAMETERS = { for: parameterPattern("for"), proto: parameterPattern("proto") };

function parameterPattern(name: string): RegExp {
  return new RegExp(`(?:^|;)\\s*${name}=("(?:[^"\\\\]|\\\\.)*"|[^;,]*)`, "i");
}

/** The value of a parameter in the first element of a Forwarded field. */
function forwardedParameter(field: string | undefined, name: keyof typeof PARAMETERS): string | undefined {
  const match = field && PARAMETERS[name].exec(field.trim());
  const value = match?.[1];
  return value?.startsWith('"') ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
}

/** True for an address that only this machine can reach. */
export function isLoopback(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "loopback";
}
