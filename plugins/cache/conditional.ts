/** Conditional requests (RFC 9110 section 13, RFC 9111 section 4.3): those that clients send, and those sent upstream. */
import type { HeaderList } from "../../core/headers.ts";
import { parseHttpDate } from "./dates.ts";
import type { Entry } from "./entry.ts";
import type { CacheRequest } from "./request.ts";
import { headerOf } from "./stored-headers.ts";

/** What conditions are about. */
type Facts = Pick<Entry, "status" | "headers" | "respondedAtMs">;

/** True when the client has what the entry is, so that 304 will do (RFC 9111 section 4.3.2). */
export function isNotModified(entry: Facts, request: CacheRequest, nowMs: number): boolean {
  const { ifNoneMatch, ifModifiedSince } = request;
  if (ifNoneMatch === undefined && ifModifiedSince === undefined) return false;
  if (entry.status < 200 || entry.status > 299) return false; // RFC 9110 section 13.2.1
  if (ifNoneMatch !== undefined) return matchesTag(ifNoneMatch, headerOf(entry, "etag"));
  const since = parseHttpDate(ifModifiedSince!, nowMs);
  return since !== undefined && modifiedAtMs(entry, nowMs) <= since;
}

/** When there is no Last-Modified, a response is as old as its Date. */
function modifiedAtMs(entry: Facts, nowMs: number): number {
  const date = headerOf(entry, "last-modified") ?? headerOf(entry, "date");
  return parseHttpDate(date ?? "", nowMs) ?? entry.respondedAtMs;
}

/** If-None-Match: weak comparison (RFC 9110 section 8.8.3.2) with each of its members. */
export function matchesTag(ifNoneMatch: string, etag: string | undefined): boolean {
  if (ifNoneMatch.trim() === "*") return true;
  if (etag === undefined) return false;
  if (etag === ifNoneMatch) return true;
  const opaque = opaqueTag(etag);
  // Tags may hold commas, and backslashes escape nothing in them.
  for (const [member] of ifNoneMatch.matchAll(/(?:W\/)?"[^"]*"|[^\s,][^,]*/g)) {
    if (opaqueTag(member.trim()) === opaque) return true;
  }
  return false;
}

function opaqueTag(tag: string): string {
  return tag.startsWith("W/") ? tag.slice(2) : tag;
}

/** Fields about the representation: a 304 goes without them (RFC 9110 section 15.4.5). */
const OF_REPRESENTATION = new Set([
  "content-length",
  "content-type",
  "content-encoding",
  "content-language",
  "content-range",
]);

/** The headers of a 304 for an entry, flat. */
export function notModifiedHeaders(entry: Pick<Entry, "headers">): string[] {
  const { headers } = entry;
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (!OF_REPRESENTATION.has(headers[i]!.toLowerCase())) kept.push(headers[i]!, headers[i + 1]!);
  }
  return kept;
}

const CONDITIONS = [
  "if-none-match",
  "if-modified-since",
  "if-match",
  "if-unmodified-since",
  "if-range",
  "range",
];

/**
 * Makes a request ask whether a whole entry is still good (RFC 9111 section 4.3.1), in place of whatever the client's
 * conditions were: those are answered from what comes of it. Without a validator it asks for the whole.
 */
export function askToValidate(headers: HeaderList, entry: Entry): void {
  for (const name of CONDITIONS) headers.delete(name);
  const etag = headerOf(entry, "etag");
  if (etag !== undefined) headers.set("if-none-match", etag);
  const lastModified = headerOf(entry, "last-modified");
  if (lastModified !== undefined) headers.set("if-modified-since", lastModified);
}
