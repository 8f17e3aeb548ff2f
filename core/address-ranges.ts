/**
 * Sets of addresses and CIDR ranges. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`, RFC 4291 section
 * 2.5.5.2) is the IPv4 address, in a list as well as asked for; `::/0` means every IPv6 address and no IPv4 one.
 */
import { isIP, isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** An address as a number of 32 or 128 bits. */
interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

const MAPPED = 0xffffn << 32n;

/** Reads an address; undefined when it is not one. Other spellings of IPv4 (`010.1.1.1`, `127.1`) are none. */
export function parseAddress(text: string): Address | undefined {
  const zone = text.indexOf("%");
  if (zone !== -1 && isIPv6(text)) text = text.slice(0, zone);
  const version = isIP(text);
  if (version === 0) return undefined;
  const value = ipaddr
    .parse(text)
    .toByteArray()
    .reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  if (version === 4) return { bits: 32, value };
  return value >> 32n === MAPPED >> 32n ? { bits: 32, value: value & 0xffffffffn } : { bits: 128, value };
}

/** Addresses and ranges; a look-up costs one step for each prefix length that occurs, however many entries. */
export class RangeSet {
  /** Prefixes by the number of bits that are not compared. */
  readonly #prefixes = { 32: new Map<number, Set<bigint>>(), 128: new Map<number, Set<bigint>>() };

  /** Adds an address or a CIDR range; false when `entry` is neither. */
  add(entry: string): boolean {
    const [, text = "", length] = /^([^/%]*)(?:\/(0|[1-9]\d{0,2}))?$/.exec(entry) ?? [];
    const address = parseAddress(text);
    if (address === undefined) return false;
    const written = text.includes(":") ? 128 : 32;
    const ignored = written - Number(length ?? written);
    if (ignored < 0 || ignored > address.bits) return false;
    const prefixes = this.#prefixes[address.bits];
    let same = prefixes.get(ignored);
    if (same === undefined) prefixes.set(ignored, (same = new Set()));
    same.add(address.value >> BigInt(ignored));
    return true;
  }

  has({ bits, value }: Address): boolean {
    for (const [ignored, same] of this.#prefixes[bits]) if (same.has(value >> BigInt(ignored))) return true;
    return false;
  }
}
