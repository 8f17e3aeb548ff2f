/** Finds targets where a configuration does not list them, and follows their changes. */
import type { TargetsConfig } from "../../config/checked.ts";
import { targetProblem } from "../../config/targets.ts";
import { ConfigError } from "../../errors.ts";
import type { Log } from "../../exchange.ts";
import type { Clock, Metrics } from "../../plugin.ts";
import { ConsulSource } from "./consul.ts";
import { DnsSource } from "./dns.ts";
import { FileSource } from "./file.ts";
import { KubernetesSource } from "./kubernetes.ts";
import { LiveDiscovery } from "./live-discovery.ts";
import type { Found, FoundOptions, Source } from "./source.ts";
import { SrvSource } from "./srv.ts";

export { findUnresolved } from "./resolve.ts";
export type { Found };

/** Where targets are found, as configured. */
export type SourceConfig = Exclude<TargetsConfig, readonly unknown[]>;

export interface DiscoveryContext {
  /** Name of the upstream. */
  readonly upstream: string;
  readonly baseDir: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** A number from 0 up to 1. */
  random(): number;
}

/** What is found, kept up to date. When a source fails, the last good set stays. */
export interface Discovery {
  /** The last good set, sorted by URL, each URL once; empty before the first. */
  readonly found: readonly Found[];
  /** Why the set may be out of date; undefined while the source answers. */
  readonly failure: Error | undefined;
  /** Resolves when the source has answered, or failed, for the first time; after some seconds in any case. */
  readonly ready: Promise<void>;
  /** Calls `listener` whenever the set changes; gives a function that ends it. */
  subscribe(listener: () => void): () => void;
  close(): void | Promise<void>;
}

/**
 * Begins to look for targets.
 * @throws ConfigError with pointers relative to the upstream
 */
export function createDiscovery(config: SourceConfig, context: DiscoveryContext): Discovery {
  return new LiveDiscovery(createSource(config, context), context);
}

function createSource(config: SourceConfig, context: DiscoveryContext): Source {
  if ("file" in config) return new FileSource(config.file, context.baseDir);
  checkPath(config);
  if ("dns" in config) return new DnsSource(config);
  if ("srv" in config) return new SrvSource(config);
  if ("consul" in config) return new ConsulSource(config, context);
  return new KubernetesSource(config, context);
}

function checkPath({ path }: FoundOptions): void {
  const problem = targetProblem(`http://localhost${path}`);
  if (problem !== undefined) throw new ConfigError(problem, "/targets/path");
}
