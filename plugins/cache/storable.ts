/** Whether a reply is stored (RFC 9111 section 3), and for how long it is fresh (section 4.2.1). */
import type { HeaderList } from "../../core/headers.ts";
import { initialAgeMs, type Times } from "./age.ts";
import type { Entry } from "./entry.ts";
import { type FreshnessRules, freshnessOf } from "./freshness.ts";
import { readPart } from "./range.ts";
import { readReplyHead, type ReplyHead } from "./reply-head.ts";
import type { CacheRequest } from "./request.ts";
import { readVary, varyValues } from "./vary.ts";

/** The request that a reply is for. */
export interface Asked {
  /** As it was sent, for what Vary names. */
  readonly headers: HeaderList;
  readonly request: CacheRequest;
  /** It is from somebody that is known, and the key does not tell who: RFC 9111 section 3.5 applies. */
  readonly isAuthorized: boolean;
}

/** What a reply says about its being stored. All that an entry needs and its reply alone can say. */
export interface Storable
  extends Pick<
    Entry,
    | "headers"
    | "part"
    | "vary"
    | "requestedAtMs"
    | "respondedAtMs"
    | "initialAgeMs"
    | "freshMs"
    | "staleWhileRevalidateMs"
    | "staleIfErrorMs"
    | "mustRevalidate"
    | "alwaysValidate"
  > {
  readonly isStorable: true;
}

/** Why a reply is not stored; told in Cache-Status. */
export type NotStoredReason =
  | "request-no-store"
  | "status"
  | "no-store"
  | "private"
  | "authorization"
  | "set-cookie"
  | "vary"
  | "part"
  | "no-freshness"
  | "not-reusable";

/** It says nothing about replies to others. */
export function isAboutRequest(reason: NotStoredReason): boolean {
  return reason === "request-no-store" || reason === "authorization";
}

export interface NotStorable {
  readonly isStorable: false;
  readonly reason: NotStoredReason;
}

/** Final statuses that RFC 9110 section 15 describes, but 304: that one says nothing without what it is about. */
const UNDERSTOOD = new Set([
  200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406,
  407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 426, 500, 501, 502, 503, 504, 505,
]);

/**
 * Said of how something was asked, by whom or how often (RFC 6585 forbids to store some of them): whoever asks for it
 * otherwise is not to get them.
 */
const ABOUT_ASKING = new Set([408, 411, 413, 416, 417, 421, 425, 426, 428, 429, 431, 511]);

/** The gateway itself makes them of who asks, when it sends a request: nothing here tells their values. */
const SENT_ONLY = ["forwarded", "via", "x-forwarded-for", "x-forwarded-port"];

/** Not stored, beside hop-by-hop fields (section 3.1): Age is told anew, and no cookie is for everybody. */
const NOT_STORED = new Set(["age", "set-cookie", "proxy-authentication-info"]);

/** Decides about a reply. */
export function judgeStorable(
  asked: Asked,
  status: number,
  headers: HeaderList,
  times: Times,
  rules: FreshnessRules,
): Storable | NotStorable {
  const head = readReplyHead(headers, times, rules.ignoreCacheControl);
  const reason = refusalOf(asked, status, head, rules);
  if (reason !== undefined) return refuse(reason);
  const vary = readVary(head.vary);
  if (vary === undefined || vary.some((name) => SENT_ONLY.includes(name))) return refuse("vary");
  const part = status === 206 ? readPart(head.contentRange, head.contentLength) : undefined;
  if (status === 206 && part === undefined) return refuse("part");
  const ageMs = initialAgeMs(times, head.dateMs, head.ageMs ?? 0);
  const freshness = freshnessOf(status, head, times, ageMs, rules);
  if (freshness === undefined) return refuse("no-freshness");
  if (!freshness.isExplicit && head.setsCookie) return refuse("set-cookie");
  const { directives } = head;
  const mayBeStale = !directives.noCache && !directives.mustRevalidate && !directives.proxyRevalidate;
  // s-maxage forbids stale use like proxy-revalidate (section 5.2.2.10), unless the reply itself says otherwise.
  // What is never fresh is to be asked about each time: it may be for the one only who asked.
  const isBound = directives.sMaxAgeMs !== undefined || freshness.lifetimeMs <= 0;
  const storable: Storable = {
    isStorable: true,
    headers: storedHeaders(headers, head, times),
    part,
    vary: varyValues(vary, asked.headers),
    ...times,
    initialAgeMs: ageMs,
    freshMs: freshness.lifetimeMs,
    staleWhileRevalidateMs: mayBeStale
      ? (directives.staleWhileRevalidateMs ?? (isBound ? 0 : rules.staleWhileRevalidateMs))
      : 0,
    staleIfErrorMs: mayBeStale ? (directives.staleIfErrorMs ?? (isBound ? 0 : rules.staleIfErrorMs)) : 0,
    mustRevalidate: !mayBeStale || isBound,
    alwaysValidate: directives.noCache,
  };
  return isReusable(storable, head) ? storable : refuse("not-reusable");
}

function refuse(reason: NotStoredReason): NotStorable {
  return { isStorable: false, reason };
}

function refusalOf(
  asked: Asked,
  status: number,
  head: ReplyHead,
  rules: FreshnessRules,
): NotStoredReason | undefined {
  const { directives } = head;
  if (asked.request.noStore && !rules.ignoreCacheControl) return "request-no-store";
  if (status < 200 || status === 304 || ABOUT_ASKING.has(status)) return "status";
  if (asked.request.range !== undefined && status >= 400) return "status";
  if (directives.mustUnderstand) {
    if (!UNDERSTOOD.has(status)) return "status";
  } else if (directives.noStore) return "no-store";
  if (directives.isPrivate) return "private";
  const isShared = directives.isPublic || directives.mustRevalidate || directives.sMaxAgeMs !== undefined;
  if (asked.isAuthorized && !isShared) return "authorization";
  return undefined;
}

/** What can neither be used as it is, now or when the upstream fails, nor validated, would only take room. */
function isReusable(storable: Storable, head: ReplyHead): boolean {
  if (head.etag !== undefined || head.lastModifiedMs !== undefined) return true;
  if (storable.alwaysValidate) return false;
  const usableMs = storable.freshMs + Math.max(storable.staleWhileRevalidateMs, storable.staleIfErrorMs);
  return storable.initialAgeMs < usableMs;
}

/** A reply without Date gets one (RFC 9110 section 6.6.1). */
function storedHeaders(headers: HeaderList, head: ReplyHead, times: Times): string[] {
  const { raw } = headers;
  const { withheld } = head.directives;
  const stored: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const lower = raw[i]!.toLowerCase();
    if (!NOT_STORED.has(lower) && !withheld.includes(lower)) stored.push(raw[i]!, raw[i + 1]!);
  }
  if (!head.hasDate) stored.push("Date", new Date(times.respondedAtMs).toUTCString());
  return stored.slice(); // without the room that arrays leave to grow
}
