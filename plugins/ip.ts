/**
 * Lets requests pass by the client's address.
 *
 * Stands anywhere, best early; calls next for addresses that are allowed. Others see 403 IP_DENIED, or the same
 * 404 as for an unknown route. `deny` beats `allow`; with `allow`, whoever is not in it is denied. The client's
 * address is the peer's unless the listener's `trustedProxies` say that another may be believed. An address
 * that cannot be read is denied. Nothing it depends on can fail.
 */
import { parseAddress, RangeSet } from "../core/address-ranges.ts";
import {
  ConfigError,
  type FromSchema,
  GatewayError,
  type JsonSchema,
  type Plugin,
  type Problem,
} from "../core/plugin.ts";
import { childPointer } from "../core/pointer.ts";

const ranges = (description: string) =>
  ({ type: "array", items: { type: "string", minLength: 1 }, default: [], description }) as const;

const schema = {
  type: "object",
  description: "Lets requests pass by the client's address.",
  properties: {
    allow: ranges("Addresses and CIDR ranges (IPv4, IPv6) that may pass; when given, no others may."),
    deny: ranges("Addresses and CIDR ranges that may not pass, even if `allow` has them."),
    status: {
      type: "integer",
      enum: [403, 404],
      default: 403,
      description: "Status for those denied: 403, or 404 to look as if there were no such route.",
    },
  },
  additionalProperties: false,
} as const satisfies JsonSchema;

type Options = FromSchema<typeof schema>;

/** Addresses whose answer is remembered. */
const REMEMBERED = 4096;

export const ip: Plugin<Options> = {
  name: "ip",
  guard: true,
  authorizes: true,
  schema,
  build({ allow, deny, status }) {
    if (allow.length === 0 && deny.length === 0) {
      throw new ConfigError("Give `allow`, `deny` or both; without them nobody is kept out");
    }
    const problems: Problem[] = [];
    const allowed = compileRanges(allow, "/allow", problems);
    const denied = compileRanges(deny, "/deny", problems);
    if (problems.length > 0) throw new ConfigError(problems);

    const decide = (text: string): boolean => {
      const address = parseAddress(text);
      if (address === undefined || denied.has(address)) return false;
      return allow.length === 0 || allowed.has(address);
    };
    const decisions = new Map<string, boolean>();
    return (next) => (x) => {
      const address = x.clientAddress;
      let passes = decisions.get(address);
      if (passes === undefined) {
        if (decisions.size === REMEMBERED) decisions.clear();
        passes = decide(address);
        decisions.set(address, passes);
      }
      if (passes) return next(x);
      if (status === 404) throw new GatewayError("ROUTE_NOT_FOUND", { cause: new GatewayError("IP_DENIED") });
      throw new GatewayError("IP_DENIED");
    };
  },
};

function compileRanges(entries: readonly string[], pointer: string, problems: Problem[]): RangeSet {
  const set = new RangeSet();
  for (const [i, entry] of entries.entries()) {
    if (set.add(entry)) continue;
    const message = `"${entry}" is neither an address (192.0.2.1, 2001:db8::1) nor a CIDR range (10.0.0.0/8)`;
    problems.push({ code: "CONFIG_CIDR", message, pointer: childPointer(pointer, i) });
  }
  return set;
}
