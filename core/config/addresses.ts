/** Checks addresses: of listeners and of trusted proxies. */
import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";
import { RangeSet } from "../address-ranges.ts";
import { asList, asRecord, type Checking } from "./checking.ts";
import { childPointer } from "../pointer.ts";

interface Address {
  /** Canonical: `::` and `0.0.0.0` for all, `127.0.0.1` for localhost. */
  readonly host: string;
  readonly port: number;
  readonly pointer: string;
}

/** Checks the addresses of listeners and admin: each valid, none taken twice, admin not exposed. */
export function checkListeners(checking: Checking, config: Record<string, unknown>): void {
  const taken: Address[] = [];
  const claim = (text: unknown, pointer: string): Address | undefined => {
    const address = parseAddress(checking, text, pointer);
    if (address === undefined) return undefined;
    const other = taken.find((known) => clash(known, address));
    if (other !== undefined) {
      const message = `This address is taken by the one at ${checking.placeOf(other.pointer)}`;
      checking.report("CONFIG_ADDRESS", message, pointer);
    }
    taken.push(address);
    return address;
  };
  for (const [i, listener] of asList(config["listeners"]).entries()) {
    const { address, trustedProxies } = asRecord(listener);
    claim(address, `/listeners/${i}/address`);
    checkCidrs(checking, trustedProxies, `/listeners/${i}/trustedProxies`);
  }
  const { admin } = config;
  if (admin === undefined) return;
  const { address, token } = asRecord(admin);
  const claimed = claim(address, "/admin/address");
  if (claimed !== undefined && !isLoopback(claimed.host) && (token === "" || token === undefined)) {
    const message =
      "The admin listener is open to other machines here; set a `token`, or listen on 127.0.0.1";
    checking.report("CONFIG_ADMIN_EXPOSED", message, "/admin/address");
  }
}

function parseAddress(checking: Checking, text: unknown, pointer: string): Address | undefined {
  const [, name = "", digits = ""] = /^(.+):(\d{1,5})$/.exec(typeof text === "string" ? text : "") ?? [];
  if (digits === "") return undefined; // the schema has said so
  const port = Number(digits);
  if (port > 65535) {
    checking.report("CONFIG_ADDRESS", "The port must be from 0 to 65535", pointer);
    return undefined;
  }
  const bare = name.startsWith("[") ? name.slice(1, -1) : name;
  const isNumeric = name.startsWith("[") || /^[\d.]+$/.test(name);
  const isAddress = name.startsWith("[") ? ipaddr.IPv6.isValid(bare) : isIPv4(bare);
  if (isNumeric && !isAddress) {
    checking.report("CONFIG_ADDRESS", "This is not a valid IP address", pointer);
    return undefined;
  }
  const host = bare.toLowerCase() === "localhost" ? "127.0.0.1" : bare.toLowerCase();
  return { host: isNumeric ? ipaddr.parse(host).toString() : host, port, pointer };
}

/** True when both cannot be listened on at once. Listening on `::` takes IPv4 too. */
function clash(a: Address, b: Address): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  if (a.host === b.host) return true;
  for (const [all, other] of [[a.host, b.host] as const, [b.host, a.host] as const]) {
    if (all === "::" || (all === "0.0.0.0" && !other.includes(":"))) return true;
  }
  return false;
}

function isLoopback(host: string): boolean {
  return ipaddr.isValid(host) && ipaddr.process(host).range() === "loopback";
}

/** Checks a list of addresses and CIDR ranges. */
export function checkCidrs(checking: Checking, list: unknown, pointer: string): void {
  for (const [i, text] of asList(list).entries()) {
    if (typeof text !== "string" || text === "") continue;
    if (new RangeSet().add(text)) continue;
    const at = childPointer(pointer, i);
    const message = `Expected an address or a CIDR range such as 10.0.0.0/8, found${checking.quote(text, at) || " another text"}`;
    checking.report("CONFIG_CIDR", message, at);
  }
}
