/** Directives of Cache-Control (RFC 9111 section 5.2) and of fields that are like it. */
import { isHeaderName } from "../../core/headers.ts";
import { splitList } from "./lists.ts";

/** A directive and its argument, without the quotes around it if there were any. */
export interface Directive {
  /** Lower case. */
  readonly name: string;
  readonly argument: string | undefined;
}

/** What a reply's directives say. Of directives that come twice the first counts (section 4.2.1). */
export interface ReplyDirectives {
  noStore: boolean;
  mustUnderstand: boolean;
  isPublic: boolean;
  /** `private` without names of fields. */
  isPrivate: boolean;
  /** `no-cache` without names of fields. */
  noCache: boolean;
  /** Fields that `private` and `no-cache` name, lower case: not to be stored. */
  withheld: string[];
  mustRevalidate: boolean;
  proxyRevalidate: boolean;
  /** Milliseconds; 0 when it is said in a way that is not valid: that makes a reply stale (section 4.2.1). */
  maxAgeMs: number | undefined;
  sMaxAgeMs: number | undefined;
  staleWhileRevalidateMs: number | undefined;
  staleIfErrorMs: number | undefined;
}

/** Larger numbers of seconds count as this one (section 1.2.2). */
const MAX_SECONDS = 2 ** 31;

/** Reads a field value, all its lines joined. What is malformed is kept as it is, and will not be understood. */
export function parseDirectives(value: string): Directive[] {
  return splitList(value).map((member) => {
    const mark = member.indexOf("=");
    if (mark === -1) return { name: member.toLowerCase(), argument: undefined };
    // There are no blanks around the sign, so what has some is not a valid argument.
    const isTight = member[mark - 1] !== " " && member[mark - 1] !== "\t";
    const argument = isTight ? unquote(member.slice(mark + 1)) : ` ${member.slice(mark + 1)}`;
    return { name: member.slice(0, mark).trim().toLowerCase(), argument };
  });
}

const QUOTED = /^"((?:[^"\\]|\\.)*)"$/s;

function unquote(text: string): string {
  const match = QUOTED.exec(text);
  return match === null ? text : match[1]!.replaceAll(/\\(.)/gs, "$1");
}

/** Milliseconds of an argument in seconds (section 1.2.2); undefined when it is not a number of seconds. */
export function deltaMs(argument: string | undefined): number | undefined {
  if (argument === undefined || !/^\d+$/.test(argument)) return undefined;
  return Math.min(Number(argument), MAX_SECONDS) * 1000;
}

/** Makes of a reply's directives what they mean. */
export function readReplyDirectives(directives: Iterable<Directive>): ReplyDirectives {
  const said: ReplyDirectives = {
    noStore: false,
    mustUnderstand: false,
    isPublic: false,
    isPrivate: false,
    noCache: false,
    withheld: [],
    mustRevalidate: false,
    proxyRevalidate: false,
    maxAgeMs: undefined,
    sMaxAgeMs: undefined,
    staleWhileRevalidateMs: undefined,
    staleIfErrorMs: undefined,
  };
  for (const { name, argument } of directives) {
    switch (name) {
      case "no-store":
        said.noStore = true;
        break;
      case "must-understand":
        said.mustUnderstand = true;
        break;
      case "public":
        said.isPublic = true;
        break;
      case "private":
        said.isPrivate = !withhold(said.withheld, argument) || said.isPrivate;
        break;
      case "no-cache":
        said.noCache = !withhold(said.withheld, argument) || said.noCache;
        break;
      case "must-revalidate":
        said.mustRevalidate = true;
        break;
      case "proxy-revalidate":
        said.proxyRevalidate = true;
        break;
      case "max-age":
        said.maxAgeMs ??= deltaMs(argument) ?? 0;
        break;
      case "s-maxage":
        said.sMaxAgeMs ??= deltaMs(argument) ?? 0;
        break;
      case "stale-while-revalidate":
        said.staleWhileRevalidateMs ??= deltaMs(argument) ?? 0;
        break;
      case "stale-if-error":
        said.staleIfErrorMs ??= deltaMs(argument) ?? 0;
        break;
    }
  }
  return said;
}

/** Adds names of fields; false when there are none, or something else: then the directive concerns the whole reply. */
function withhold(withheld: string[], argument: string | undefined): boolean {
  if (argument === undefined) return false;
  const names = splitList(argument.toLowerCase());
  if (names.length === 0 || !names.every(isHeaderName)) return false;
  withheld.push(...names);
  return true;
}
