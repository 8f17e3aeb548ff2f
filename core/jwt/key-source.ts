/** Where the keys of an issuer come from, and how they are used. */
import type { KeySet } from "./keys.ts";

/** The set is another object when keys have changed, and undefined while there is none. */
export interface KeySource {
  current(): KeySet | undefined;
  /** Resolves when it was tried to get newer ones; false when too many wait for that. */
  renew(): Promise<boolean>;
  /** True when newer ones cannot be had now. */
  readonly isFailing: boolean;
}

/**
 * Has a token judged by the keys that count now, and once more by newer ones if its key is not among them.
 * @returns what `judge` says; `unavailable` when the key may be among those that cannot be had
 */
export async function judgeByKeys<T>(
  source: KeySource,
  judge: (keys: KeySet) => Promise<T | "no key">,
): Promise<T | "invalid" | "unavailable"> {
  let keys = source.current();
  for (let isLast = false; ; isLast = true) {
    if (keys !== undefined) {
      const verdict = await judge(keys);
      if (verdict !== "no key") return verdict;
    }
    if (!isLast && !(await source.renew())) return "unavailable";
    const newer = source.current();
    if (isLast || newer === keys) return newer === undefined || source.isFailing ? "unavailable" : "invalid";
    keys = newer;
  }
}
