/** Parts of stored representations (RFC 9110 section 14, RFC 9111 section 3.3). */
import type { Entry } from "./entry.ts";
import { parseHttpDate } from "./dates.ts";
import { headerOf } from "./stored-headers.ts";
import type { CacheRequest } from "./request.ts";

/**
 * - `whole`: the whole of it
 * - `part`: some of its bytes; `Content-Range` says which
 * - `unsatisfiable`: 416
 * - `missing`: it is a part itself, and what is wanted is not in it
 */
export type RangeAnswer =
  | { readonly kind: "whole" | "missing" }
  | { readonly kind: "part"; readonly body: Buffer; readonly contentRange: string }
  | { readonly kind: "unsatisfiable"; readonly contentRange: string };

const WHOLE: RangeAnswer = { kind: "whole" };
const MISSING: RangeAnswer = { kind: "missing" };

const CONTENT_RANGE = /^bytes (\d+)-(\d+)\/(\d+)$/i;

/** Where a part begins, its bytes, and those of the whole; undefined when that is not certain. */
export function readPart(
  contentRange: string | undefined,
  contentLength: string | undefined,
): { first: number; total: number } | undefined {
  const match = CONTENT_RANGE.exec(contentRange ?? "");
  if (match === null) return undefined;
  const [first, last, total] = [Number(match[1]), Number(match[2]), Number(match[3])] as const;
  const length = last - first + 1;
  if (length < 1 || last >= total || !Number.isSafeInteger(total)) return undefined;
  if (contentLength !== undefined && Number(contentLength) !== length) return undefined;
  return { first, total };
}

/**
 * What an entry has of what a request wants. More than one range is answered with the whole, as any server may.
 * @param request of a GET; to other methods ranges mean nothing
 */
export function answerRange(entry: Entry, request: CacheRequest, nowMs: number): RangeAnswer {
  const { part } = entry;
  const otherwise = part === undefined ? WHOLE : MISSING;
  if (request.range === undefined || (part === undefined && entry.status !== 200)) return otherwise;
  if (request.ifRange !== undefined && !isSameVersion(entry, request.ifRange, nowMs)) return otherwise;
  const total = part?.total ?? entry.body.length;
  const range = parseRange(request.range, total);
  if (range === undefined) return otherwise;
  if (range === "unsatisfiable") return { kind: "unsatisfiable", contentRange: `bytes */${total}` };
  const offset = part?.first ?? 0;
  if (range.first < offset || range.last >= offset + entry.body.length) return MISSING;
  return {
    kind: "part",
    body: entry.body.subarray(range.first - offset, range.last - offset + 1),
    contentRange: `bytes ${range.first}-${range.last}/${total}`,
  };
}

const RANGE = /^bytes=[\t ]*(\d*)-(\d*)[\t ]*$/i;

/** A single range of bytes; undefined for what is to be ignored: other units, several ranges, nonsense. */
function parseRange(
  range: string,
  total: number,
): { first: number; last: number } | "unsatisfiable" | undefined {
  const match = RANGE.exec(range);
  if (match === null) return undefined;
  const [, from = "", to = ""] = match;
  if (from === "") {
    if (to === "") return undefined;
    const length = Math.min(Number(to), total);
    return length === 0 ? "unsatisfiable" : { first: total - length, last: total - 1 };
  }
  const first = Number(from);
  if (to !== "" && Number(to) < first) return undefined;
  if (first >= total) return "unsatisfiable";
  return { first, last: to === "" ? total - 1 : Math.min(Number(to), total - 1) };
}

/** If-Range (RFC 9110 section 13.1.5): a strong entity tag, or the very date of a modification long enough ago. */
function isSameVersion(entry: Entry, ifRange: string, nowMs: number): boolean {
  if (ifRange.startsWith('"')) return ifRange === headerOf(entry, "etag");
  const lastModified = headerOf(entry, "last-modified");
  if (lastModified === undefined) return false;
  const lastModifiedMs = parseHttpDate(lastModified, nowMs);
  const dateMs = parseHttpDate(headerOf(entry, "date") ?? "", nowMs);
  if (lastModifiedMs === undefined || dateMs === undefined || dateMs - lastModifiedMs < 1000) return false;
  return parseHttpDate(ifRange, nowMs) === lastModifiedMs;
}
