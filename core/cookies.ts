/** Cookies of requests (RFC 6265 section 5.4). */
import type { HeaderList } from "./headers.ts";

/** The value of a cookie as it came, or undefined. The first one wins where a name comes twice. */
export function readCookie(headers: HeaderList, name: string): string | undefined {
  for (const pair of headers.getJoined("cookie")?.split(/[;,]\s*/) ?? []) {
    const at = pair.indexOf("=");
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1);
  }
  return undefined;
}
