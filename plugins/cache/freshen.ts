/** What a 304, or a reply to HEAD, changes in an entry (RFC 9111 sections 3.2, 4.3.4 and 4.3.5). */
import { HeaderList } from "../../core/headers.ts";
import type { Times } from "./age.ts";
import type { Entry } from "./entry.ts";
import type { FreshnessRules } from "./freshness.ts";
import { type Asked, judgeStorable, type NotStoredReason } from "./storable.ts";
import { headerOf } from "./stored-headers.ts";

/** An entry made anew, and whether it may be kept. */
export interface Freshened {
  /** What the client is to be answered from. */
  readonly entry: Entry;
  /** Why it is not to be stored; undefined when it is, in the place of the one before. */
  readonly refusal: NotStoredReason | undefined;
}

/**
 * They say what the body is, which has not changed, or select it. Some servers send a 304 with the tag of another
 * coding of what was asked for, so that the tag stays too.
 */
const KEPT = new Set(["content-length", "content-encoding", "content-range", "content-md5", "etag"]);

/**
 * Updates an entry by the headers of a 304 to a request that {@link askToValidate} has made, or of a reply to HEAD that
 * {@link judgeHead} finds about the same.
 */
export function freshen(
  entry: Entry,
  headers: HeaderList,
  asked: Asked,
  times: Times,
  rules: FreshnessRules,
): Freshened {
  const merged = mergeHeaders(entry.headers, headers);
  const judged = judgeStorable(asked, entry.part === undefined ? entry.status : 200, merged, times, rules);
  if (!judged.isStorable) {
    merged.delete("age");
    return { entry: { ...entry, headers: merged.raw }, refusal: judged.reason };
  }
  const { isStorable: _, part: __, ...said } = judged;
  return { entry: { ...entry, ...said }, refusal: undefined };
}

/** Each field that came takes the place of what is there (section 3.2). */
export function mergeHeaders(stored: readonly string[], headers: HeaderList): HeaderList {
  const merged = new HeaderList(stored.slice());
  const came = headers.raw;
  merged.delete("date"); // without a new one, it is as if it had been told now
  for (let i = 0; i < came.length; i += 2) {
    const name = came[i]!.toLowerCase();
    if (!KEPT.has(name)) merged.delete(name);
  }
  for (let i = 0; i < came.length; i += 2) {
    if (!KEPT.has(came[i]!.toLowerCase())) merged.raw.push(came[i]!, came[i + 1]!);
  }
  return merged;
}

/** Statuses that say what there is now; others say how, or by whom, it was asked for. */
const DESCRIBING = new Set([200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 410]);

/**
 * What a reply to HEAD says of an entry (section 4.3.5): it is about the same, and updates it; or about something else,
 * and the entry is stale. With no validator that is the same nothing is known: one who only looks whether a server is
 * there must not keep alive what has changed since.
 */
export function judgeHead(entry: Entry, status: number, headers: HeaderList): "same" | "other" | "unknown" {
  if (!DESCRIBING.has(status)) return "unknown";
  if (status !== 200 || entry.status !== 200) return "other";
  const length = headers.get("content-length");
  if (length !== undefined && Number(length) !== entry.body.length) return "other";
  let said: "same" | "unknown" = "unknown";
  for (const name of ["etag", "last-modified"]) {
    const value = headers.get(name);
    if (value === undefined) continue;
    if (value !== headerOf(entry, name)) return "other";
    said = "same";
  }
  return said;
}
