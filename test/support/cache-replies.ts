/** Requests and replies for the rules of the cache, with as few words as a table needs. */
import { HeaderList } from "../../core/headers.ts";
import type { Entry } from "../../plugins/cache/entry.ts";
import type { FreshnessRules } from "../../plugins/cache/freshness.ts";
import { readRequest } from "../../plugins/cache/request.ts";
import { type Asked, judgeStorable, type NotStorable, type Storable } from "../../plugins/cache/storable.ts";
import { entryOf } from "./cache-entries.ts";

/** When all replies of these tests came: `Sun, 06 Nov 2033 08:49:37 GMT`. */
export const NOW = Date.UTC(2033, 10, 6, 8, 49, 37);

/** A date as headers have it, so many seconds from {@link NOW}. */
export const at = (seconds: number): string => new Date(NOW + seconds * 1000).toUTCString();

/** Headers from lines such as `Cache-Control: no-store`. */
export function headersOf(...lines: string[]): HeaderList {
  return new HeaderList(
    lines.flatMap((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
  );
}

/** What no option changes. */
export const RULES: FreshnessRules = {
  ttlMs: undefined,
  statusTtlMs: new Map(),
  ignoreCacheControl: false,
  staleWhileRevalidateMs: 0,
  staleIfErrorMs: 0,
};

/** A request with these header lines. */
export function askedWith(lines: readonly string[] = [], more: Partial<Asked> = {}): Asked {
  const headers = headersOf(...lines);
  const request = readRequest(headers);
  return {
    headers,
    request,
    isAuthorized: request.isAuthorized,
    ...more,
  };
}

export interface Asking {
  readonly status?: number;
  readonly asked?: Asked;
  readonly rules?: Partial<FreshnessRules>;
  /** Milliseconds that the reply took. */
  readonly tookMs?: number;
}

/** What is decided about a reply with these header lines that comes {@link NOW}. */
export function judge(lines: readonly string[], asking: Asking = {}): Storable | NotStorable {
  const times = { requestedAtMs: NOW - (asking.tookMs ?? 0), respondedAtMs: NOW };
  return judgeStorable(asking.asked ?? askedWith(), asking.status ?? 200, headersOf(...lines), times, {
    ...RULES,
    ...asking.rules,
  });
}

/** The same in short: seconds of freshness that are left, or why it is not stored. */
export function verdict(lines: readonly string[], asking: Asking = {}): number | string {
  const judged = judge(lines, asking);
  return judged.isStorable ? (judged.freshMs - judged.initialAgeMs) / 1000 : judged.reason;
}

/** The entry that a reply to a GET with these header lines becomes. */
export function storedAs(lines: readonly string[], body = "0123456789", asking: Asking = {}): Entry {
  const judged = judge(lines, asking);
  if (!judged.isStorable) throw new Error(`not stored: ${judged.reason}`);
  const { isStorable: _, ...said } = judged;
  return entryOf({ ...said, status: asking.status ?? 200, body: Buffer.from(body) });
}
