/** What requests have in common that wait for the same reply, and how each gets it. */
import type { Body, Exchange, HeaderList } from "../../core/plugin.ts";
import type { Entry } from "./entry.ts";
import type { Fill } from "./fill.ts";
import { shorten } from "./key.ts";
import { type CacheRequest, SILENT } from "./request.ts";
import { isFor, normalizedField } from "./vary.ts";

/**
 * What requests that wait for the same reply have in common.
 * @param isAuthorized those whose credentials are not in the key wait for each other only: mostly in vain
 */
export function topicOf(
  key: string,
  headers: HeaderList,
  vary: readonly string[],
  isAuthorized = false,
): string {
  let topic = key;
  for (let i = 0; i < vary.length; i += 2) topic += `\n${vary[i]}=${normalizedField(headers, vary[i]!)}`;
  if (isAuthorized) topic += "\nauthorized";
  return shorten(topic);
}

/** True when a request may be answered by a reply that was asked for by another a moment ago. */
export function mayShare(request: CacheRequest): boolean {
  if (request === SILENT) return true;
  const { noStore, noCache, maxAgeMs, minFreshMs, range } = request;
  return !noStore && !noCache && maxAgeMs === undefined && minFreshMs === undefined && range === undefined;
}

export function openFor(x: Exchange, fill: Fill): Body {
  const reader = fill.open();
  x.onEnd(reader);
  return reader;
}

/** Whether a request has the values that a reply was chosen by. */
export function fits(entry: Entry, headers: HeaderList): boolean {
  return isFor(entry, (name) => normalizedField(headers, name));
}
