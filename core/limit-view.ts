/** What operators see of a limit, and ask it: what threads tell and are told, as plain data. */
import { mergeTopKeys, type TopKeysReading } from "./top-keys.ts";

/** Most keys, of those that come most, that are shown. */
const SHOWN_KEYS = 64;

/** What holds for the requests of a tier. */
export interface PlanReading {
  /** null for those of no tier. */
  readonly tier: string | null;
  readonly rules: readonly object[];
  readonly ban: object | null;
}

export interface BanReading {
  readonly key: string;
  readonly forMs: number;
}

/** What one thread tells of a limit, or several together. */
export interface LimitReading {
  readonly route: string;
  readonly stage: string;
  /** What is counted, as in the configuration. */
  readonly by: unknown;
  readonly mode: string;
  /** null for memory. */
  readonly store: string | null;
  readonly plans: readonly PlanReading[];
  /** How many there were, by what became of them. */
  readonly requests: Readonly<Record<string, number>>;
  readonly topKeys: TopKeysReading;
  /** null when the store cannot be asked. */
  readonly bans: readonly BanReading[] | null;
}

/** What one thread tells of a key. */
export interface KeyReading {
  readonly key: string;
  /** 0 when it is not banned. */
  readonly bannedForMs: number;
  readonly plans: readonly {
    readonly tier: string | null;
    readonly rules: readonly {
      readonly name: string;
      readonly remaining: number;
      readonly resetMs: number;
    }[];
  }[];
}

/** What a limit can be asked about a key. A {@link KeyReading} is the answer. */
export type LimitQuestion =
  | { readonly kind: "read"; readonly key: string }
  /** Forget what it has consumed, and its ban. */
  | { readonly kind: "reset"; readonly key: string }
  /** Ban it for so long; 0 lifts its ban. */
  | { readonly kind: "ban"; readonly key: string; readonly forMs: number };

/** What two threads tell of a limit. */
export function mergeLimits(a: LimitReading, b: LimitReading): LimitReading {
  const requests = { ...a.requests };
  for (const [outcome, count] of Object.entries(b.requests)) {
    requests[outcome] = (requests[outcome] ?? 0) + count;
  }
  const topKeys = mergeTopKeys(a.topKeys, b.topKeys, SHOWN_KEYS);
  const bans = a.bans === null || b.bans === null ? (a.bans ?? b.bans) : mergeBans([...a.bans, ...b.bans]);
  return { ...a, requests, topKeys, bans };
}

/** Each key once, those with most time left first. */
export function mergeBans(all: readonly BanReading[]): BanReading[] {
  const longest = new Map<string, number>();
  for (const { key, forMs } of all) longest.set(key, Math.max(forMs, longest.get(key) ?? 0));
  return Array.from(longest, ([key, forMs]) => ({ key, forMs })).sort((a, b) => b.forMs - a.forMs);
}

/** What threads tell of a key, as one: the least that they agree on. */
export function mergeKeyReadings(readings: readonly [KeyReading, ...KeyReading[]]): KeyReading {
  return readings.reduce((a, b) => ({
    key: a.key,
    bannedForMs: Math.max(a.bannedForMs, b.bannedForMs),
    plans: a.plans.map(({ tier, rules }, i) => ({
      tier,
      rules: rules.map((rule, j) => {
        const other = b.plans[i]?.rules[j];
        return other === undefined || rule.remaining <= other.remaining ? rule : other;
      }),
    })),
  }));
}

/** A limit among others. */
export function showLimit(id: string, reading: LimitReading): object {
  const { topKeys: _, bans, ...shown } = reading;
  return { id, ...shown, banned: bans?.length ?? null };
}

/** A limit by itself, with keys. */
export function showLimitWhole(id: string, reading: LimitReading): object {
  const topKeys = reading.topKeys.keys.map(({ key, count, error, refused }) => ({
    key,
    requests: count,
    error,
    refused,
  }));
  return { ...showLimit(id, reading), topKeys, bans: reading.bans };
}
