/**
 * Where a key stands between 0 and 1: the same place in every process and version, and evenly spread. Who takes the
 * keys below a share takes that share of them, and keeps them when the share grows. Not the hash that targets are
 * chosen by: a part of the keys must still spread over all targets.
 */
import type { Exchange } from "./exchange.ts";
import { compileKey, type KeyOption } from "./key.ts";

/** The options `by` and `salt`, which go together: without `by` there is nothing to decide by. */
export interface KeyShareOptions {
  readonly by?: KeyOption;
  readonly salt: string;
}

/**
 * Compiles `by` and `salt`.
 * @returns gives the place of an exchange; undefined when it has no key
 * @throws ConfigError at `/by`
 */
export function compileKeyShare({ by, salt }: KeyShareOptions): (x: Exchange) => number | undefined {
  if (by === undefined) return () => undefined;
  const keyOf = compileKey(by, "/by");
  const share = createKeyShare(salt);
  return (x) => {
    const key = keyOf(x);
    return key === undefined ? undefined : share(key);
  };
}

/**
 * Gives a function from keys to numbers from 0 up to 1.
 * @param salt places are independent of those with another salt
 */
export function createKeyShare(salt: string): (key: string) => number {
  const seed = murmur3(salt, 0);
  return (key) => murmur3(key, seed) / 2 ** 32;
}

/** MurmurHash3 (x86, 32 bits) over the UTF-16 code units of a text, an odd last one as a block of its own. */
function murmur3(text: string, seed: number): number {
  const { length } = text;
  let h = seed;
  for (let i = 0; i < length; i += 2) {
    let k = text.charCodeAt(i);
    if (i + 1 < length) k |= text.charCodeAt(i + 1) << 16;
    k = Math.imul(k, 0xcc9e2d51);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, 0x1b873593);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  h ^= length * 2;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
