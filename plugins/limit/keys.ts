/**
 * What requests are counted by. A key is a text that people can read in the admin pages: the values of its parts with
 * `|` between them. Nothing secret is in it: of values that may be credentials there is a digest.
 */
import { hash } from "node:crypto";
import { parseAddress } from "../../core/address-ranges.ts";
import { compileKey } from "../../core/key.ts";
import type { Exchange, Host, Problem } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { Remembered } from "./remembered.ts";
import type { LimitOptions } from "./schema.ts";

type By = LimitOptions["by"];
type Part = By extends infer B ? (B extends readonly (infer P)[] ? P : B) : never;
type Wide = "global" | { upstream: string };
type Narrow = Exclude<Part, Wide>;
type Read = (x: Exchange) => string | undefined;

/** Longer keys are digests. */
const LONGEST_KEY = 128;
/** The key of what is all counted together. */
const ALL = "*";

/** Headers, cookies and parameters of these names may be credentials. Every cookie may, and so whole queries. */
const SECRET_NAME = /auth|bearer|cookie|credential|jwt|key|pass|secret|session|sig|token/i;
const SECRET_VARIABLE = new RegExp(
  `\\{\\s*request\\.(?:cookie\\.|(?:header|query)\\.[^}]*(?:${SECRET_NAME.source})|(?:query|url)\\s*\\})`,
  "i",
);

export interface Keys {
  /** Says whose counts they are: those of one stage, or of all stages of a name. */
  readonly scope: string;
  keyOf(x: Exchange): string;
}

/** @param problems where what is wrong with `by` goes */
export function compileKeys(
  { by, ipv6Prefix }: Pick<LimitOptions, "by" | "ipv6Prefix">,
  host: Pick<Host, "route" | "stage">,
  problems: Problem[],
): Keys {
  const parts: readonly Part[] = Array.isArray(by) ? by : [by as Part];
  const pointerOf = (i: number): string => (Array.isArray(by) ? childPointer("/by", i) : "/by");
  const texts = parts.map((part) => JSON.stringify(part));
  for (const [i, text] of texts.entries()) {
    if (texts.indexOf(text) < i) report(problems, `${text} is in \`by\` twice`, pointerOf(i));
  }
  const wide = parts.filter(isWide);
  if (new Set(wide.map((part) => typeof part)).size > 1) {
    report(problems, "`global` counts more than an upstream does; give one of them", "/by");
  } else if (wide.length > 1 && typeof wide[0] === "object") {
    report(problems, "Give one upstream: requests are counted once", "/by");
  }
  const addresses = new Remembered((text) => clientOf(text, ipv6Prefix));
  const ip: Read = (x) => addresses.of(x.clientAddress);
  const values = parts.flatMap((part, i) =>
    isWide(part) ? [] : [part === "ip" ? ip : compilePart(part, pointerOf(i), host.route)],
  );
  const [only = wide[0]] = wide;
  const shared =
    only === undefined ? undefined : typeof only === "object" ? `upstream/${only.upstream}` : "global";
  const owner = shared ?? `route/${host.route}`;
  return {
    // What the values are belongs to it: other keys are other counts.
    scope: [owner, host.stage, ...parts.map(nameOf)].join("/"),
    keyOf: compileJoin(values, ip),
  };
}

/** A part as scopes have it. */
function nameOf(part: Part): string {
  if (typeof part === "string") return part;
  const [[kind, name] = ["", ""]] = Object.entries(part);
  return `${kind}:${encodeURIComponent(name)}`;
}

function isWide(part: Part): part is Wide & Part {
  return part === "global" || (typeof part === "object" && "upstream" in part);
}

function report(problems: Problem[], message: string, pointer: string): void {
  problems.push({ code: "CONFIG_VALUE", message, pointer });
}

function compilePart(part: Narrow, pointer: string, route: string): Read {
  if (part === "route") return () => route;
  if (part === "host") return (x) => hostOf(x.authority);
  const read = compileKey(part, pointer);
  if (!isSecret(part)) return read;
  const digests = new Remembered((value) => `sha256:${digest(value)}`);
  return (x) => {
    const value = read(x);
    return value === undefined ? undefined : digests.of(value);
  };
}

function isSecret(part: Narrow): boolean {
  if (typeof part === "string") return SECRET_VARIABLE.test(part);
  if ("cookie" in part) return true;
  if ("header" in part) return SECRET_NAME.test(part.header);
  return "query" in part && SECRET_NAME.test(part.query);
}

function digest(value: string): string {
  return hash("sha256", value, "hex").slice(0, 32);
}

/** The host without its port, as names are compared: clients may write them as they like. */
function hostOf(authority: string): string {
  const end = authority.lastIndexOf(":");
  return (end > authority.lastIndexOf("]") ? authority.slice(0, end) : authority).toLowerCase();
}

/** A network of IPv6 as one client: `2001:db8:1:2::/64`. */
function clientOf(text: string, ipv6Prefix: number): string {
  const address = parseAddress(text);
  if (address === undefined) return text;
  const { bits, value } = address;
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const ignored = BigInt(128 - ipv6Prefix);
  const network = ((value >> ignored) << ignored).toString(16).padStart(32, "0");
  const groups = network.match(/.{4}/g)!.map((group) => Number.parseInt(group, 16).toString(16));
  const zeros = groups.findLastIndex((group) => group !== "0") + 1;
  const written = zeros > 6 ? groups.join(":") : `${groups.slice(0, zeros).join(":")}::`;
  return ipv6Prefix === 128 ? written : `${written}/${ipv6Prefix}`;
}

/**
 * Whoever lacks a value is counted by address instead: `|192.0.2.1`, which no values make, because none of them is
 * empty and a `|` within one is escaped.
 */
function compileJoin(values: readonly Read[], ip: Read): (x: Exchange) => string {
  const [first] = values;
  if (first === undefined) return () => ALL;
  if (values.length === 1 && first === ip) return (x) => bounded(ip(x)!);
  return (x) => {
    let key = "";
    for (const read of values) {
      const value = read(x);
      if (value === undefined || value === "") return bounded(`|${ip(x)}`);
      key = key === "" ? escaped(value) : `${key}|${escaped(value)}`;
    }
    return bounded(key);
  };
}

function escaped(value: string): string {
  return /[%|]/.test(value) ? value.replaceAll("%", "%25").replaceAll("|", "%7C") : value;
}

function bounded(key: string): string {
  return key.length <= LONGEST_KEY ? key : `|#${digest(key)}`;
}
