/** What a request says to caches, read once. */

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
