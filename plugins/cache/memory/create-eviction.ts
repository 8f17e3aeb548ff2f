/** The ways to choose what goes when there is no room. */
import type { Eviction } from "./eviction.ts";
import { ExpiryEviction } from "./expiry-eviction.ts";
import { LfuEviction } from "./lfu-eviction.ts";
import { LruEviction } from "./lru-eviction.ts";

export type EvictionName = "lru" | "lfu" | "ttl";

export function createEviction(name: EvictionName, maxBytes: number, random: () => number): Eviction {
  switch (name) {
    case "lru":
      return new LruEviction();
    case "lfu":
      return new LfuEviction(maxBytes, random);
    case "ttl":
      return new ExpiryEviction();
  }
}
