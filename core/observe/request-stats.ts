/** What is counted of requests, in plain numbers: this happens for each of them. */
import { labelText } from "./snapshot.ts";

/** Upper bounds of duration buckets, in seconds. */
export const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

/** Methods that are labels of their own; any other is `OTHER`, so that clients cannot make up labels. */
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"] as const;
const METHOD_INDEX = new Map<string, number>(METHODS.map((method, i) => [method, i]));
const OTHER = METHODS.length - 1;

/** Durations in buckets. */
export class DurationStats {
  readonly counts = new Float64Array(BUCKETS.length + 1);
  sum = 0;
  count = 0;

  observe(ms: number): void {
    const seconds = ms / 1000;
    this.sum += seconds;
    this.count++;
    let i = 0;
    while (i < BUCKETS.length && seconds > BUCKETS[i]!) i++;
    this.counts[i]!++;
  }
}

/** Counts of one route. */
export class RouteStats {
  readonly durations = new DurationStats();
  /** By `method index * 1000 + status`. */
  readonly requests = new Map<number, number>();

  record(method: string, status: number, ms: number): void {
    const key = (METHOD_INDEX.get(method) ?? OTHER) * 1000 + status;
    this.requests.set(key, (this.requests.get(key) ?? 0) + 1);
    this.durations.observe(ms);
  }
}

/** Adds what was counted of a route, a series for each method and status. */
export function readRequests(
  route: string,
  requests: ReadonlyMap<number, number>,
  series: string[],
  values: number[],
): void {
  const prefix = labelText({ route });
  for (const [key, count] of requests) {
    series.push(`${prefix},method="${METHODS[Math.floor(key / 1000)]}",status="${key % 1000}"`);
    values.push(count);
  }
}

/** Adds a series of a histogram. */
export function readDurations(
  labels: string,
  { counts, sum, count }: DurationStats,
  series: string[],
  values: number[],
): void {
  series.push(labels);
  let cumulative = 0;
  for (let i = 0; i < BUCKETS.length; i++) values.push((cumulative += counts[i]!));
  values.push(sum, count);
}
