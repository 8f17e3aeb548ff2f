/** Whether a stored response may be used for a request (RFC 9111 sections 4.2 and 5.2.1, RFC 5861). */
import { ageMs } from "./age.ts";
import type { Entry } from "./entry.ts";
import { type CacheRequest, SILENT } from "./request.ts";

/**
 * - `use`: as it is
 * - `refresh`: as it is, and validate it behind the reply
 * - `stale`: validate it first, because it is stale
 * - `request`: validate it first, because the request wants that
 */
export type Reuse = "use" | "refresh" | "stale" | "request";

/**
 * Decides about an entry that is not gone.
 * @param isPurged a soft purge has made it stale
 */
export function judgeReuse(entry: Entry, request: CacheRequest, nowMs: number, isPurged: boolean): Reuse {
  const age = ageMs(entry, nowMs);
  const staleMs = isPurged ? Math.max(0, age - entry.freshMs) : age - entry.freshMs;
  if (entry.alwaysValidate) return "stale";
  if (staleMs < 0) return isWanted(request, age, -staleMs) ? "use" : "request";
  if (request.noCache || request.minFreshMs !== undefined) return "stale";
  const isYoungEnough = request.maxAgeMs === undefined || isWithin(age, request.maxAgeMs);
  if (request.maxStaleMs !== undefined) {
    if (!entry.mustRevalidate && isYoungEnough && staleMs <= request.maxStaleMs) return "use";
  } else if (request.maxAgeMs !== undefined) return "stale"; // section 5.2.1.1: nothing stale without max-stale
  return isYoungEnough && staleMs < entry.staleWhileRevalidateMs ? "refresh" : "stale";
}

/** Whether anybody may have it who demands nothing. */
export function isUsable(entry: Entry, nowMs: number): boolean {
  const reuse = judgeReuse(entry, SILENT, nowMs, false);
  return reuse === "use" || reuse === "refresh";
}

function isWanted(request: CacheRequest, age: number, freshForMs: number): boolean {
  if (request.noCache) return false;
  if (request.maxAgeMs !== undefined && !isWithin(age, request.maxAgeMs)) return false;
  return request.minFreshMs === undefined || freshForMs >= request.minFreshMs;
}

/** Whoever allows no age at all wants it validated, even if it came in this very second. */
function isWithin(age: number, maxAgeMs: number): boolean {
  return maxAgeMs > 0 && age <= maxAgeMs;
}

/** Whether an entry may be used because the upstream failed (RFC 5861 section 4), or was not needed to begin with. */
export function mayServeOnError(entry: Entry, request: CacheRequest, nowMs: number): boolean {
  if (entry.alwaysValidate || request.noCache) return false;
  return ageMs(entry, nowMs) < entry.freshMs + entry.staleIfErrorMs;
}

/**
 * XFetch: each hit may refresh, the likelier the nearer the end and the longer it takes.
 * @param earliness its beta; 0 for never
 */
export function isDueEarly(entry: Entry, nowMs: number, earliness: number, random: () => number): boolean {
  const reachMs = entry.fillMs * earliness;
  if (reachMs === 0) return false;
  return -Math.log(1 - random()) * reachMs >= entry.freshMs - ageMs(entry, nowMs);
}
