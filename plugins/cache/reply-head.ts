/** What a reply's headers say to caches. */
import type { HeaderList } from "../../core/headers.ts";
import type { Times } from "./age.ts";
import { parseHttpDate } from "./dates.ts";
import { parseDirectives, readReplyDirectives, type ReplyDirectives } from "./directives.ts";
import { targetedDirectives } from "./targeted.ts";

export interface ReplyHead {
  /** Of the first targeted field that is valid, or of Cache-Control. */
  readonly directives: ReplyDirectives;
  /** The directives are a targeted field's: Expires does not count (RFC 9213 section 2.2). */
  readonly isTargeted: boolean;
  /** Undefined when there is none; a value that is none is in the past (RFC 9111 section 5.3). */
  readonly expiresMs: number | undefined;
  readonly dateMs: number | undefined;
  readonly hasDate: boolean;
  /** 0 when there is none; undefined when there is one that cannot be read. */
  readonly ageMs: number | undefined;
  readonly lastModifiedMs: number | undefined;
  readonly etag: string | undefined;
  readonly vary: string | undefined;
  readonly setsCookie: boolean;
  readonly contentRange: string | undefined;
  readonly contentLength: string | undefined;
}

const DELTA_SECONDS = /^\d+$/;

/** Reads the headers of a reply. @param ignoresCacheControl as if there were no directives, Expires or Age */
export function readReplyHead(headers: HeaderList, times: Times, ignoresCacheControl: boolean): ReplyHead {
  const date = headers.get("date");
  const expires = headers.get("expires");
  const lastModified = headers.get("last-modified");
  const now = times.respondedAtMs;
  const targeted = ignoresCacheControl ? undefined : targetedDirectives(headers);
  const cacheControl = ignoresCacheControl ? "" : (headers.getJoined("cache-control") ?? "");
  return {
    directives: readReplyDirectives(targeted ?? parseDirectives(cacheControl)),
    isTargeted: targeted !== undefined,
    expiresMs: expires === undefined || ignoresCacheControl ? undefined : (parseHttpDate(expires, now) ?? 0),
    dateMs: date === undefined ? undefined : parseHttpDate(date, now),
    hasDate: date !== undefined,
    ageMs: readAge(headers),
    lastModifiedMs: lastModified === undefined ? undefined : parseHttpDate(lastModified, now),
    etag: headers.get("etag"),
    vary: headers.getJoined("vary"),
    setsCookie: headers.has("set-cookie"),
    contentRange: headers.get("content-range"),
    contentLength: headers.get("content-length"),
  };
}

/**
 * Milliseconds that Age says; undefined for anything but one number. Section 5.1 would have such a field ignored; but
 * what has been in caches for nobody knows how long is better not taken for fresh.
 */
function readAge(headers: HeaderList): number | undefined {
  const age = headers.getJoined("age");
  if (age === undefined) return 0;
  return DELTA_SECONDS.test(age) ? Number(age) * 1000 : undefined;
}
