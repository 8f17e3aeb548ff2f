/** Lists of clients that the rates do not decide about. */
import { parseAddress, RangeSet } from "../../core/address-ranges.ts";
import type { Consumer, Exchange, Problem } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { Remembered } from "./remembered.ts";
import type { LimitOptions } from "./schema.ts";

/**
 * @param problems where what is wrong with it goes
 * @returns whether an exchange is a client's of the list; undefined when there is no list
 */
export function compileClients(
  option: LimitOptions["allow"],
  pointer: string,
  problems: Problem[],
): ((x: Exchange) => boolean) | undefined {
  if (option === undefined) return undefined;
  const { ips } = option;
  if (ips.length + option.consumers.length + option.roles.length === 0) {
    const message = "Give `ips`, `consumers` or `roles`; nobody is in an empty list";
    problems.push({ code: "CONFIG_VALUE", message, pointer });
  }
  const ranges = new RangeSet();
  for (const [i, entry] of ips.entries()) {
    if (ranges.add(entry)) continue;
    const message = `"${entry}" is neither an address (192.0.2.1, 2001:db8::1) nor a CIDR range (10.0.0.0/8)`;
    problems.push({ code: "CONFIG_CIDR", message, pointer: childPointer(`${pointer}/ips`, i) });
  }
  const addresses = new Remembered((text) => {
    const address = parseAddress(text);
    return address !== undefined && ranges.has(address);
  });
  const consumers: ReadonlySet<string> = new Set(option.consumers);
  const roles: ReadonlySet<string> = new Set(option.roles);
  const isListed = ({ name, roles: own }: Consumer): boolean =>
    consumers.has(name) || own.some((role) => roles.has(role));
  return (x) =>
    (ips.length > 0 && addresses.of(x.clientAddress)) || (x.consumer !== undefined && isListed(x.consumer));
}
