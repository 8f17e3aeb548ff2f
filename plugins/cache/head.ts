/** What is known of a reply before its body is there, and of the request that it is for. */
import type { Exchange, Reply } from "../../core/plugin.ts";
import type { Times } from "./age.ts";
import type { Entry } from "./entry.ts";
import type { Keys } from "./key.ts";
import type { CacheRequest } from "./request.ts";
import type { Asked } from "./storable.ts";
import { varyValues } from "./vary.ts";

/** The body of an entry whose body has not come. */
export const EMPTY = Buffer.alloc(0);

/** A request, for those who judge its reply. */
export function askedOf(x: Exchange, request: CacheRequest, keys: Keys): Asked {
  return { headers: x.headers.clone(), request, isAuthorized: isAuthorized(x, request, keys) };
}

/** It is from somebody that is known, and the key does not tell who. */
export function isAuthorized(x: Exchange, request: CacheRequest, keys: Keys): boolean {
  const isKnown = request.isAuthorized || x.consumer !== undefined;
  return isKnown && !keys.separates(x, request.isAuthorized);
}

/**
 * What those get who wait for a reply that is shared and not stored.
 * @param vary the fields that it names
 */
export function passingHead(
  { status, reason, headers }: Reply,
  { headers: asked }: Asked,
  times: Times,
  vary: readonly string[],
): Entry {
  return {
    ...times,
    key: "",
    url: "",
    status,
    reason,
    headers: headers.raw.slice(),
    body: EMPTY,
    part: undefined,
    vary: varyValues(vary, asked),
    tags: [],
    fillMs: 0,
    version: 0,
    initialAgeMs: 0,
    freshMs: 0,
    staleWhileRevalidateMs: 0,
    staleIfErrorMs: 0,
    mustRevalidate: true,
    alwaysValidate: true,
  };
}

export function urlOf({ scheme, authority, path, search }: Exchange): string {
  return `${scheme}://${authority}${path}${search}`;
}

/** What purges by URL and prefix go by. */
export function addressOf(x: Exchange, keys: Keys): string {
  return keys.addressOf(x.authority, x.scheme, x.originalPath, x.originalSearch);
}
