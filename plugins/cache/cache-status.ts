/** `Cache-Status` (RFC 9211): what the cache did about a request, for whoever looks at the reply. */
import type { HeaderList } from "../../core/plugin.ts";

/** Why a request was sent on (section 2.2). */
export type Forwarded = "bypass" | "method" | "uri-miss" | "vary-miss" | "stale" | "request" | "partial";

/** How a request that was sent on came to its reply. */
export interface Sent {
  /** `hit` when it turned out that somebody else has it. */
  readonly why: Forwarded | "hit";
  /** Status of the upstream's reply where the client's is another. */
  readonly status?: number | undefined;
  readonly stored?: boolean;
  readonly collapsed?: boolean;
  readonly ttlSeconds?: number;
  /** A word that says more. */
  readonly detail?: string | undefined;
}

/** A reply from the cache. */
export function hit(ttlSeconds: number, detail?: string): string {
  const text = `sluice; hit; ttl=${ttlSeconds}`;
  return detail === undefined ? text : `${text}; detail=${detail}`;
}

/** A reply that came from the upstream, or with its help. */
export function sent({ why, status, stored, collapsed, ttlSeconds, detail }: Sent): string {
  let text = why === "hit" ? "sluice; hit" : `sluice; fwd=${why}`;
  if (status !== undefined) text += `; fwd-status=${status}`;
  if (ttlSeconds !== undefined) text += `; ttl=${ttlSeconds}`;
  if (stored) text += "; stored";
  if (collapsed) text += "; collapsed";
  if (detail !== undefined) text += `; detail=${detail}`;
  return text;
}

/** Puts it behind what caches between here and the origin said. */
export function addStatus(headers: HeaderList, status: string): void {
  headers.raw.push("cache-status", status);
}
