/** Parts of representations that are stored (RFC 9111 section 3.4). */
import { HeaderList } from "../../core/headers.ts";
import type { Entry } from "./entry.ts";
import { mergeHeaders } from "./freshen.ts";
import { readPart } from "./range.ts";
import { headerOf } from "./stored-headers.ts";

/**
 * What is to be stored of a part that has come: joined with what is stored already, if both are of the same version and
 * meet, and the whole once nothing is missing.
 * @param stored all that there is with its key
 * @param maxBytes parts are not joined beyond
 * @returns undefined when it is not the part that it says it is
 */
export function joinPart(came: Entry, stored: readonly Entry[], maxBytes: number): Entry | undefined {
  const length = String(came.body.length);
  if (readPart(headerOf(came, "content-range"), length) === undefined) return undefined;
  const other = stored.find((each) => isSameVersion(each, came));
  return other === undefined ? came : join(other, came, maxBytes);
}

/** Only a strong validator says that the bytes are the same. */
function isSameVersion(stored: Entry, came: Entry): boolean {
  const etag = headerOf(came, "etag");
  if (etag === undefined || !etag.startsWith('"') || etag !== headerOf(stored, "etag")) return false;
  if (headerOf(stored, "content-encoding") !== headerOf(came, "content-encoding")) return false;
  return totalOf(stored) === totalOf(came) && stored.vary.join("\n") === came.vary.join("\n");
}

const firstOf = ({ part }: Entry): number => part?.first ?? 0;
const endOf = (entry: Entry): number => firstOf(entry) + entry.body.length;

function totalOf({ part, status, body }: Entry): number | undefined {
  return part?.total ?? (status === 200 ? body.length : undefined);
}

function join(stored: Entry, came: Entry, maxBytes: number): Entry {
  const [before, after] = firstOf(stored) <= firstOf(came) ? [stored, came] : [came, stored];
  const overlap = endOf(before) - firstOf(after);
  const length = Math.max(endOf(before), endOf(after)) - firstOf(before);
  if (overlap < 0 || length > maxBytes) return came;
  const body =
    overlap >= after.body.length
      ? before.body
      : Buffer.concat([before.body, after.body.subarray(overlap)], length);
  const total = came.part!.total;
  const isWhole = length === total;
  const merged = mergeHeaders(stored.headers, new HeaderList([...came.headers]));
  merged.set("content-length", String(length));
  merged.delete("content-range"); // what is sent of it has its own
  return {
    ...came,
    headers: merged.raw,
    status: isWhole ? 200 : 206,
    reason: isWhole ? "OK" : came.reason,
    body,
    part: isWhole ? undefined : { first: firstOf(before), total },
    // What concerns one of them concerns both.
    version: Math.min(stored.version, came.version),
  };
}
