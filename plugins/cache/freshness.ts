/** How long a reply is fresh (RFC 9111 section 4.2.1). */
import type { Times } from "./age.ts";
import type { ReplyHead } from "./reply-head.ts";

/** What options say of replies that do not say it themselves. */
export interface FreshnessRules {
  /** Freshness lifetime; undefined for what can be told from Last-Modified. */
  readonly ttlMs: number | undefined;
  /** The same for certain statuses. */
  readonly statusTtlMs: ReadonlyMap<number, number>;
  /** No reply says anything. */
  readonly ignoreCacheControl: boolean;
  readonly staleWhileRevalidateMs: number;
  readonly staleIfErrorMs: number;
}

export interface Freshness {
  readonly lifetimeMs: number;
  /** The reply itself says how long. */
  readonly isExplicit: boolean;
}

/** Statuses that may be cached without being asked to (RFC 9110 section 15.1). */
const HEURISTIC = new Set([200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]);
/** Of the time since it was modified (RFC 9111 section 4.2.2). */
const HEURISTIC_SHARE = 0.1;
const HEURISTIC_MAX_MS = 24 * 3600_000;

/**
 * The freshness lifetime of a reply.
 * @param initialAgeMs its age when it came: lifetimes of options begin then
 * @returns undefined when it must not be stored for want of one
 */
export function freshnessOf(
  status: number,
  head: ReplyHead,
  times: Times,
  initialAgeMs: number,
  rules: FreshnessRules,
): Freshness | undefined {
  const explicitMs = explicitLifetimeMs(head, times);
  if (explicitMs !== undefined) {
    return { lifetimeMs: head.ageMs === undefined ? 0 : explicitMs, isExplicit: true };
  }
  const isHeuristic = HEURISTIC.has(status);
  const ttlMs = rules.statusTtlMs.get(status) ?? (isHeuristic && status < 400 ? rules.ttlMs : undefined);
  if (ttlMs !== undefined) return { lifetimeMs: initialAgeMs + ttlMs, isExplicit: false };
  if (!isHeuristic && !head.directives.isPublic) return undefined;
  const lifetimeMs = head.ageMs === undefined ? 0 : heuristicLifetimeMs(head, times);
  return { lifetimeMs, isExplicit: false };
}

function explicitLifetimeMs(head: ReplyHead, times: Times): number | undefined {
  const { sMaxAgeMs, maxAgeMs } = head.directives;
  const lifetimeMs = sMaxAgeMs ?? maxAgeMs;
  if (lifetimeMs !== undefined) return lifetimeMs;
  if (head.isTargeted || head.expiresMs === undefined) return undefined;
  return Math.max(0, head.expiresMs - (head.dateMs ?? times.respondedAtMs));
}

function heuristicLifetimeMs(head: ReplyHead, times: Times): number {
  if (head.lastModifiedMs === undefined) return 0;
  const unchangedMs = (head.dateMs ?? times.respondedAtMs) - head.lastModifiedMs;
  return Math.min(HEURISTIC_MAX_MS, Math.max(0, Math.round(unchangedMs * HEURISTIC_SHARE)));
}
