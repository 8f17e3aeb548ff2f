/**
 * The only door to prom-client. Requests are counted in plain numbers on the hot path and turned into
 * Prometheus samples when somebody asks; what plugins count goes through prom-client itself.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { ErrorCode } from "../errors.ts";
import type { Labels, Metrics } from "../plugin.ts";

/** Upper bounds of duration buckets, in seconds. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

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

interface Sample {
  metricName?: string;
  labels: Record<string, string | number>;
  value: number;
}

export class GatewayMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #routes = new Map<string, RouteStats>();
  readonly #upstreams = new Map<string, DurationStats>();
  readonly #errors = new Map<string, number>();
  readonly #own = new Map<string, Counter | Gauge | Histogram>();
  /** Where collected values come from, by the metric's name. */
  readonly #sources = new Map<string, Set<() => Iterable<readonly [Labels, number]>>>();
  readonly #reloads = { success: 0, failure: 0 };
  /** Requests under way. */
  active = 0;
  /** Number of the generation that serves; 0 before the first. */
  generation = 0;
  /** When the configuration that serves was activated, in seconds since the epoch. */
  reloadedAt = 0;

  constructor() {
    collectDefaultMetrics({ register: this.#registry });
    this.#add("sluice_http_requests_total", "Requests answered.", "counter", () => this.#requestSamples());
    this.#add(
      "sluice_http_request_duration_seconds",
      "Time from request head to reply sent.",
      "histogram",
      () =>
        [...this.#routes].flatMap(([route, stats]) =>
          durationSamples("sluice_http_request_duration_seconds", { route }, stats.durations),
        ),
    );
    this.#add(
      "sluice_upstream_request_duration_seconds",
      "Time from sending upstream to its reply's head.",
      "histogram",
      () =>
        [...this.#upstreams].flatMap(([upstream, stats]) =>
          durationSamples("sluice_upstream_request_duration_seconds", { upstream }, stats),
        ),
    );
    this.#add("sluice_active_requests", "Requests under way.", "gauge", () => [
      { labels: {}, value: this.active },
    ]);
    this.#add("sluice_errors_total", "Failures by code.", "counter", () =>
      [...this.#errors].map(([code, value]) => ({ labels: { code }, value })),
    );
    this.#add("sluice_config_generation", "Number of the generation that serves.", "gauge", () => [
      { labels: {}, value: this.generation },
    ]);
    this.#add(
      "sluice_config_last_success_timestamp_seconds",
      "When the configuration that serves was activated.",
      "gauge",
      () => [{ labels: {}, value: this.reloadedAt }],
    );
    this.#add("sluice_config_reloads_total", "Reloads of the configuration, by result.", "counter", () =>
      Object.entries(this.#reloads).map(([result, value]) => ({ labels: { result }, value })),
    );
  }

  /** The counts of a route; the same ones for the same name, across generations. */
  route(name: string): RouteStats {
    return getOrCreate(this.#routes, name, () => new RouteStats());
  }

  /** The counts of an upstream. */
  upstream(name: string): DurationStats {
    return getOrCreate(this.#upstreams, name, () => new DurationStats());
  }

  countError(code: ErrorCode): void {
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  countReload(result: "success" | "failure"): void {
    this.#reloads[result]++;
  }

  /** Sums for `/admin/stats`. */
  totals(): { requests: number; errors: Record<string, number>; byStatus: Record<string, number> } {
    const byStatus: Record<string, number> = {};
    let requests = 0;
    for (const { labels, value } of this.#requestSamples()) {
      requests += value;
      byStatus[labels["status"]!] = (byStatus[labels["status"]!] ?? 0) + value;
    }
    return { requests, byStatus, errors: Object.fromEntries(this.#errors) };
  }

  /** All metrics in the Prometheus text format. */
  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): ReturnType<Metrics["counter"]> {
    const metric = this.#plugin(
      name,
      Counter,
      () => new Counter({ name, help, labelNames, registers: [this.#registry] }),
    );
    return { inc: (labels: Labels = {}, by = 1) => metric.inc(labels, by) };
  }

  gauge(name: string, help: string, labelNames: readonly string[] = []): ReturnType<Metrics["gauge"]> {
    const metric = this.#plugin(
      name,
      Gauge,
      () => new Gauge({ name, help, labelNames, registers: [this.#registry] }),
    );
    return { set: (value, labels: Labels = {}) => metric.set(labels, value) };
  }

  histogram(
    name: string,
    help: string,
    labelNames: readonly string[] = [],
    buckets: readonly number[] = BUCKETS,
  ): ReturnType<Metrics["histogram"]> {
    const create = (): Histogram =>
      new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [this.#registry] });
    const metric = this.#plugin(name, Histogram, create);
    return { observe: (value, labels: Labels = {}) => metric.observe(labels, value) };
  }

  collect(
    name: string,
    help: string,
    type: "counter" | "gauge",
    source: () => Iterable<readonly [labels: Labels, value: number]>,
  ): () => void {
    let sources = this.#sources.get(name);
    if (sources === undefined) {
      const all = (sources = new Set());
      this.#sources.set(name, all);
      this.#add(name, help, type, () => {
        // Two generations may tell of the same thing while one drains: the later one counts.
        const samples = new Map<string, Sample>();
        for (const each of all) {
          for (const [labels, value] of each()) samples.set(JSON.stringify(labels), { labels, value });
        }
        return [...samples.values()];
      });
    }
    sources.add(source);
    return () => void sources.delete(source);
  }

  #plugin<M extends Counter | Gauge | Histogram>(
    name: string,
    kind: new (...args: never[]) => M,
    create: () => M,
  ): M {
    const metric = getOrCreate(this.#own, name, create);
    if (!(metric instanceof kind)) throw new TypeError(`The metric ${name} is of another kind already`);
    return metric;
  }

  #requestSamples(): Sample[] {
    return [...this.#routes].flatMap(([route, stats]) =>
      [...stats.requests].map(([key, value]) => ({
        labels: { route, method: METHODS[Math.floor(key / 1000)]!, status: String(key % 1000) },
        value,
      })),
    );
  }

  #add(name: string, help: string, type: "counter" | "gauge" | "histogram", values: () => Sample[]): void {
    const metric = {
      name,
      help,
      type,
      aggregator: "sum",
      get: () => ({ name, help, type, aggregator: "sum", values: values() }),
      reset: () => {},
    };
    this.#registry.registerMetric(metric as never);
  }
}

function durationSamples(name: string, labels: Record<string, string>, stats: DurationStats): Sample[] {
  let cumulative = 0;
  const samples = [...BUCKETS, "+Inf"].map((le, i) => {
    cumulative += stats.counts[i]!;
    return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: cumulative };
  });
  return [
    ...samples,
    { metricName: `${name}_sum`, labels, value: stats.sum },
    { metricName: `${name}_count`, labels, value: stats.count },
  ];
}

function getOrCreate<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = create()));
  return value;
}
