/** What an unsafe request's reply makes invalid (RFC 9111 section 4.4). */
import type { HeaderList } from "../../core/headers.ts";
import type { Entry } from "./entry.ts";
import { firstLineOf } from "./key.ts";

const SAFE = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/** True for methods that change what they are sent to, or are not known not to. */
export function isUnsafe(method: string): boolean {
  return !SAFE.has(method);
}

/**
 * Absolute URLs that a reply to an unsafe request makes invalid: the request's own, and those that the reply names, if
 * they are of the same origin.
 * @param url absolute, of the request
 */
export function invalidatedUrls(url: string, status: number, headers: HeaderList): string[] {
  if (status < 200 || status > 399) return [];
  const own = URL.parse(url);
  if (own === null) return [url];
  const urls = [own.href];
  for (const name of ["location", "content-location"]) {
    const value = headers.get(name);
    const named = value === undefined ? null : URL.parse(value, own);
    if (named === null || named.origin !== own.origin) continue;
    named.hash = "";
    if (!urls.includes(named.href)) urls.push(named.href);
  }
  return urls;
}

/** Whether an entry is of a URL that was changed by a request with this key. */
export function isOfChanged(entry: Pick<Entry, "key" | "url">, key: string, url: string): boolean {
  return entry.url === url || entry.key === key || entry.key === firstLineOf(key);
}
