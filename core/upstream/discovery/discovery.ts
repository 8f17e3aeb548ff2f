/** Finds targets where a configuration does not list them, and follows their changes. */
import type { TargetsConfig } from "../../config/checked.ts";
import type { Log } from "../../exchange.ts";
import type { Clock, Metrics } from "../../plugin.ts";

/** A target that was found. */
export interface Found {
  readonly url: string;
  readonly weight: number;
}

/** Where targets are found, as configured. */
export type SourceConfig = Exclude<TargetsConfig, readonly unknown[]>;

export interface DiscoveryContext {
  /** Name of the upstream. */
  readonly upstream: string;
  readonly baseDir: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
}

/** What is found, kept up to date. When a source fails, the last good set stays. */
export interface Discovery {
  /** The last good set; empty before the first. */
  readonly found: readonly Found[];
  /** Why the set may be out of date; undefined while the source answers. */
  readonly failure: Error | undefined;
  /** Resolves when the source has answered, or failed, for the first time. */
  readonly ready: Promise<void>;
  /** Calls `listener` whenever the set changes; gives a function that ends it. */
  subscribe(listener: () => void): () => void;
  close(): void;
}

/** Begins to look for targets. */
export function createDiscovery(_config: SourceConfig, _context: DiscoveryContext): Discovery {
  throw new Error("not built yet");
}

/**
 * Which names of targets do not resolve.
 * @param urls of targets
 * @returns the index of each that does not resolve, and why
 */
export async function findUnresolved(_urls: readonly string[]): Promise<{ index: number; reason: string }[]> {
  return [];
}
