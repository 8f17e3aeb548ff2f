/** What a request says to caches, read once. */
import { type HeaderList, isSameName } from "../../core/headers.ts";
import { deltaMs, parseDirectives } from "./directives.ts";

/** Requests that say nothing have one that all of them share. */
export interface CacheRequest {
  /** The directives of Cache-Control (RFC 9111 section 5.2.1), and `Pragma: no-cache` where there is none. */
  readonly noStore: boolean;
  readonly noCache: boolean;
  readonly onlyIfCached: boolean;
  /** Milliseconds; undefined when it is not said. `max-stale` without a value is infinite. */
  readonly maxAgeMs: number | undefined;
  readonly minFreshMs: number | undefined;
  readonly maxStaleMs: number | undefined;
  /** Has credentials in the sense of RFC 9111 section 3.5: an Authorization field. */
  readonly isAuthorized: boolean;
  /** The conditions that it came with (RFC 9110 section 13), as they came. */
  readonly ifNoneMatch: string | undefined;
  readonly ifModifiedSince: string | undefined;
  /** If-Match or If-Unmodified-Since: only the origin can answer. */
  readonly hasPrecondition: boolean;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
}

/** What a request says that says nothing. */
export const SILENT: CacheRequest = Object.freeze({
  noStore: false,
  noCache: false,
  onlyIfCached: false,
  maxAgeMs: undefined,
  minFreshMs: undefined,
  maxStaleMs: undefined,
  isAuthorized: false,
  ifNoneMatch: undefined,
  ifModifiedSince: undefined,
  hasPrecondition: false,
  range: undefined,
  ifRange: undefined,
});

/** Reads a request's headers: names are looked at by their length first, because most requests have none of these. */
export function readRequest(headers: HeaderList): CacheRequest {
  const raw = headers.raw;
  for (let i = 0; i < raw.length; i += 2) if (concernsCaches(raw[i]!)) return read(headers);
  return SILENT;
}

function concernsCaches(name: string): boolean {
  switch (name.length) {
    case 5:
      return isSameName(name, "range");
    case 6:
      return isSameName(name, "pragma");
    case 8:
      return isSameName(name, "if-range") || isSameName(name, "if-match");
    case 13:
      return (
        isSameName(name, "cache-control") ||
        isSameName(name, "if-none-match") ||
        isSameName(name, "authorization")
      );
    case 17:
      return isSameName(name, "if-modified-since");
    case 19:
      return isSameName(name, "if-unmodified-since");
    default:
      return false;
  }
}

function read(headers: HeaderList): CacheRequest {
  const cacheControl = headers.getJoined("cache-control");
  const said: { -readonly [Name in keyof CacheRequest]: CacheRequest[Name] } = {
    ...SILENT,
    isAuthorized: headers.has("authorization"),
    ifNoneMatch: headers.getJoined("if-none-match"),
    ifModifiedSince: headers.getJoined("if-modified-since"),
    hasPrecondition: headers.has("if-match") || headers.has("if-unmodified-since"),
    range: headers.getJoined("range"),
    ifRange: headers.getJoined("if-range"),
  };
  for (const { name, argument } of parseDirectives(cacheControl ?? "")) {
    switch (name) {
      case "no-store":
        said.noStore = true;
        break;
      case "no-cache":
        said.noCache = true;
        break;
      case "only-if-cached":
        said.onlyIfCached = true;
        break;
      // What cannot be read is taken for the strictest that it could have been.
      case "max-age":
        said.maxAgeMs ??= deltaMs(argument) ?? 0;
        break;
      case "min-fresh":
        said.minFreshMs ??= deltaMs(argument) ?? Number.POSITIVE_INFINITY;
        break;
      case "max-stale":
        said.maxStaleMs ??= argument === undefined ? Number.POSITIVE_INFINITY : deltaMs(argument);
        break;
    }
  }
  if (cacheControl === undefined) said.noCache = /^no-cache\b/i.test(headers.get("pragma") ?? "");
  return said;
}

/** A request that demands nothing of caches. */
export function withoutDirectives(request: CacheRequest): CacheRequest {
  const { isAuthorized, ifNoneMatch, ifModifiedSince, hasPrecondition, range, ifRange } = request;
  return { ...SILENT, isAuthorized, ifNoneMatch, ifModifiedSince, hasPrecondition, range, ifRange };
}
