/** Which requests a stored response was chosen for (RFC 9111 section 4.1): the fields that Vary names, normalized. */
import { type HeaderList, isHeaderName, isSameName } from "../../core/headers.ts";
import type { Entry } from "./entry.ts";
import type { FieldOf } from "./level.ts";
import { splitList } from "./lists.ts";

/** The value of a field that a request does not have: absent is not the same as empty. No field can have it. */
export const ABSENT = "\0";

/** Longer values are compared as they are. */
const LONGEST_NORMALIZED = 256;
const MEMO_SIZE = 512;
/** Values of negotiating fields, normalized: there are few of them among many requests. */
const memo = new Map<string, string>();

/**
 * The names in Vary: lower case, each once, sorted.
 * @param value all lines joined; undefined for none
 * @returns undefined when no request can be known to match: `*`, or something that is not a name
 */
export function readVary(value: string | undefined): readonly string[] | undefined {
  if (value === undefined) return [];
  const names = new Set<string>();
  for (const member of value.split(",")) {
    const name = member.trim().toLowerCase();
    if (name === "") continue;
    if (name === "*" || !isHeaderName(name)) return undefined;
    names.add(name);
  }
  return [...names].sort();
}

/** What a request has in the fields that were named: flat `[name, normalized value, …]`, as entries keep it. */
export function varyValues(names: readonly string[], headers: HeaderList): string[] {
  const values: string[] = [];
  for (const name of names) values.push(name, normalizedField(headers, name));
  return values;
}

/** Whether an entry is for a request: it has what the one had that the entry was the reply to. */
export function isFor({ vary }: Entry, fieldOf: FieldOf): boolean {
  for (let i = 0; i < vary.length; i += 2) {
    if (fieldOf(vary[i]!) !== vary[i + 1]) return false;
  }
  return true;
}

/**
 * A request's value of a field, so that values of the same meaning are equal; {@link ABSENT} when it has none.
 * @param name in lower case
 */
export function normalizedField(headers: HeaderList, name: string): string {
  const { raw } = headers;
  let value: string | undefined;
  for (let i = 0; i < raw.length; i += 2) {
    if (!isSameName(raw[i]!, name)) continue;
    value = value === undefined ? raw[i + 1]! : `${value}, ${raw[i + 1]!}`;
  }
  if (value === undefined) return ABSENT;
  if (value.length > LONGEST_NORMALIZED) return value; // many variants are compared with it
  switch (name) {
    case "accept-encoding":
    case "accept-language":
    case "accept-charset":
      return normalizedPreferences(value);
    default:
      // Empty members stay: nobody knows what they mean in a field that is not known.
      return value.includes(",") ? splitList(value, true).join(",") : value.trim();
  }
}

function normalizedPreferences(value: string): string {
  const known = memo.get(value);
  if (known !== undefined) return known;
  const normalized = splitList(value.toLowerCase())
    .map((member) => normalizedPreference(member))
    .sort()
    .join(",");
  if (memo.size >= MEMO_SIZE) memo.clear();
  memo.set(value, normalized);
  return normalized;
}

const PREFERENCE = /^([^\s;]+)\s*;\s*q\s*=\s*([01](?:\.\d{0,3})?)$/;

/** `gzip;q=1.0` is `gzip` (RFC 9110 section 12.4.2). Their order means nothing (sections 12.5.2 to 12.5.4). */
function normalizedPreference(member: string): string {
  const match = PREFERENCE.exec(member);
  if (match === null) return member;
  const weight = Number(match[2]);
  return weight === 1 ? match[1]! : `${match[1]};q=${weight}`;
}
