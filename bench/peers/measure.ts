/** One measurement of a running contender, and what several of them come to. */
import { type LoadResult, load } from "../support/load.ts";
import { treeMemory } from "../support/process-tree.ts";
import { median } from "../support/stats.ts";
import type { Running } from "./contender.ts";

export interface Sample extends LoadResult {
  /** CPU time of the whole process tree per request, in microseconds; infinite when nothing was answered. */
  cpuMicros: number;
  /** Memory of the whole tree, in bytes. */
  rss: number;
  pss: number;
}

export interface Load {
  path: string;
  connections: number;
  seconds: number;
  /** Length of each request's body; 0 for a GET. */
  uploadBytes?: number;
}

export async function measure(server: Running, options: Load): Promise<Sample> {
  const { path, connections, seconds, uploadBytes } = options;
  const before = server.subject.cpuMicros();
  const result = await load(server.url + path, connections, seconds, uploadBytes);
  const cpuMicros = (server.subject.cpuMicros() - before) / result.requests;
  const { rss, pss } = treeMemory(server.subject.pid);
  return { ...result, cpuMicros, rss, pss };
}

/** Each figure's median; failures are added up. */
export function summarize(samples: readonly Sample[]): Sample {
  const of = (key: keyof Sample): number => median(samples.map((sample) => sample[key]));
  return {
    requests: of("requests"),
    perSecond: of("perSecond"),
    p50Ms: of("p50Ms"),
    p99Ms: of("p99Ms"),
    cpuMicros: of("cpuMicros"),
    rss: of("rss"),
    pss: of("pss"),
    failures: samples.reduce((sum, { failures }) => sum + failures, 0),
  };
}

/** Median of each round's own ratio. */
export function ratioOf(own: readonly Sample[], other: readonly Sample[]): number {
  const rounds = Math.min(own.length, other.length);
  return median(own.slice(0, rounds).map(({ cpuMicros }, i) => cpuMicros / other[i]!.cpuMicros));
}
