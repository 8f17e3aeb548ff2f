/** To whom a reply may be given beside the one whose request it was. */
import type { HeaderList } from "../../../core/plugin.ts";
import type { Times } from "../age.ts";
import type { FreshnessRules } from "../freshness.ts";
import { type Asked, judgeStorable, type NotStorable, type Storable } from "../storable.ts";
import { readVary } from "../vary.ts";

export interface Audience {
  /** Those with the same credentials may have it. */
  readonly isForSame: boolean;
  /** Everybody may: a shared cache might have stored it. */
  readonly isForAll: boolean;
  /** Of those, who have the same in these fields. */
  readonly vary: readonly string[];
}

/** What replies say themselves, and nothing else: from Last-Modified follows nothing. */
const AS_TOLD: FreshnessRules = {
  ttlMs: 0,
  statusTtlMs: new Map(),
  ignoreCacheControl: false,
  staleWhileRevalidateMs: 0,
  staleIfErrorMs: 0,
};

/** @param hasCredentials whoever asked said who it is; without, those who ask are not the same person */
export function judgeAudience(
  asked: Asked,
  { status, headers }: { readonly status: number; readonly headers: HeaderList },
  times: Times,
  hasCredentials: boolean,
): Audience {
  const judged = judgeStorable(asked, status, headers, times, AS_TOLD);
  const isForSame = !headers.has("set-cookie") && isForSameOne(judged, status, hasCredentials);
  return {
    isForSame,
    isForAll:
      isForSame && judged.isStorable && !judged.alwaysValidate && judged.initialAgeMs < judged.freshMs,
    vary: readVary(headers.getJoined("vary")) ?? [],
  };
}

function isForSameOne(judged: Storable | NotStorable, status: number, hasCredentials: boolean): boolean {
  if (judged.isStorable) return true;
  switch (judged.reason) {
    case "no-store":
    case "vary":
      return false;
    case "private":
      return hasCredentials;
    case "status":
      return status === 304;
    default:
      return true;
  }
}
