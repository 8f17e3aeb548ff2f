/**
 * The only door to prom-client. Requests are counted in plain numbers on the hot path and turned into
 * Prometheus samples when somebody asks; what plugins count goes through prom-client itself.
 */
import { createRequire } from "node:module";
import type * as prom from "prom-client";
import type { ErrorCode } from "../errors.ts";
import type { Labels, Merge, Metrics } from "../plugin.ts";
import { BUCKETS, DurationStats, readDurations, readRequests, RouteStats } from "./request-stats.ts";
import { StoreStats } from "./store-stats.ts";
import { CONTENT_TYPE, labelText, type MetricSnapshot, renderSnapshot, type Snapshot } from "./snapshot.ts";

const require = createRequire(import.meta.url);
/** Its parts that count. The rest asks the process, and is loaded when somebody wants to know. */
const Counter = require("prom-client/lib/counter") as typeof prom.Counter;
const Gauge = require("prom-client/lib/gauge") as typeof prom.Gauge;
const Histogram = require("prom-client/lib/histogram") as typeof prom.Histogram;
type OwnMetric = prom.Counter | prom.Gauge | prom.Histogram;

/** A metric, and how its series are read. */
interface Family extends Omit<MetricSnapshot, "series" | "values"> {
  read(series: string[], values: number[]): void | Promise<void>;
}

/** The metrics of one thread. */
export class GatewayMetrics implements Metrics {
  readonly #families = new Map<string, Family>();
  readonly #routes = new Map<string, RouteStats>();
  readonly #upstreams = new Map<string, DurationStats>();
  readonly #stores = new Map<string, StoreStats>();
  readonly #errors = new Map<string, number>();
  readonly #own = new Map<string, OwnMetric>();
  /** Where collected values come from, by the metric's name. */
  readonly #sources = new Map<string, Set<Source>>();
  readonly #reloads = { success: 0, failure: 0 };
  /** Requests under way. */
  active = 0;
  /** Number of the generation that serves; 0 before the first. */
  generation = 0;
  /** When the configuration that serves was activated, in seconds since the epoch. */
  reloadedAt = 0;

  constructor() {
    this.#add("sluice_http_requests_total", "Requests answered.", "counter", (series, values) => {
      for (const [route, { requests }] of this.#routes) readRequests(route, requests, series, values);
    });
    this.#addDurations(
      "sluice_http_request_duration_seconds",
      "Time from request head to reply sent.",
      "route",
      () => [...this.#routes].map(([route, stats]) => [route, stats.durations]),
    );
    this.#addDurations(
      "sluice_upstream_request_duration_seconds",
      "Time from sending upstream to its reply's head.",
      "upstream",
      () => this.#upstreams,
    );
    this.#addDurations("sluice_store_duration_seconds", "Time of a call to a store.", "store", () =>
      [...this.#stores].map(([store, stats]) => [store, stats.durations]),
    );
    this.collect("sluice_store_calls_total", "Calls to stores, by result.", "counter", () =>
      [...this.#stores].flatMap(([store, { results }]) =>
        Object.entries(results).map(([result, value]) => [{ store, result }, value] as const),
      ),
    );
    this.collect("sluice_active_requests", "Requests under way.", "gauge", () => [[{}, this.active]]);
    this.collect("sluice_errors_total", "Failures by code.", "counter", () =>
      [...this.#errors].map(([code, value]) => [{ code }, value]),
    );
    this.collect(
      "sluice_config_generation",
      "Number of the generation that serves.",
      "gauge",
      () => [[{}, this.generation]],
      "max",
    );
    this.collect(
      "sluice_config_last_success_timestamp_seconds",
      "When the configuration that serves was activated.",
      "gauge",
      () => [[{}, this.reloadedAt]],
      "max",
    );
    this.collect("sluice_config_reloads_total", "Reloads of the configuration, by result.", "counter", () =>
      Object.entries(this.#reloads).map(([result, value]) => [{ result }, value]),
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

  /** The counts of a store. */
  store(name: string): StoreStats {
    return getOrCreate(this.#stores, name, () => new StoreStats());
  }

  countError(code: ErrorCode): void {
    this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
  }

  countReload(result: "success" | "failure"): void {
    this.#reloads[result]++;
  }

  /** All of it now, as data that can be posted to another thread. */
  async snapshot(): Promise<Snapshot> {
    return Promise.all(
      [...this.#families.values()].map(async ({ read, ...family }) => {
        const series: string[] = [];
        const values: number[] = [];
        await read(series, values);
        return { ...family, series, values };
      }),
    );
  }

  /** The metrics of this thread alone, in the Prometheus text format. */
  async render(): Promise<{ contentType: string; text: string }> {
    return { contentType: CONTENT_TYPE, text: renderSnapshot(await this.snapshot()) };
  }

  counter(name: string, help: string, labelNames: readonly string[] = []): ReturnType<Metrics["counter"]> {
    const metric = this.#plugin(name, Counter, () => {
      const counter = new Counter({ name, help, labelNames, registers: [] });
      this.#add(name, help, "counter", (...into) => readSamples(counter, labelNames, ...into));
      return counter;
    });
    return { inc: (labels: Labels = {}, by = 1) => metric.inc(labels, by) };
  }

  gauge(
    name: string,
    help: string,
    labelNames: readonly string[] = [],
    merge: Merge = "sum",
  ): ReturnType<Metrics["gauge"]> {
    const metric = this.#plugin(name, Gauge, () => {
      const gauge = new Gauge({ name, help, labelNames, registers: [] });
      this.#add(name, help, "gauge", (...into) => readSamples(gauge, labelNames, ...into), merge);
      return gauge;
    });
    return { set: (value, labels: Labels = {}) => metric.set(labels, value) };
  }

  histogram(
    name: string,
    help: string,
    labelNames: readonly string[] = [],
    buckets: readonly number[] = BUCKETS,
    merge: Merge = "sum",
  ): ReturnType<Metrics["histogram"]> {
    const metric = this.#plugin(name, Histogram, () => {
      const histogram = new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [] });
      const read: Family["read"] = (...into) => readSamples(histogram, labelNames, ...into);
      this.#add(name, help, "histogram", read, merge, buckets);
      return histogram;
    });
    return { observe: (value, labels: Labels = {}) => metric.observe(labels, value) };
  }

  collect(
    name: string,
    help: string,
    type: "counter" | "gauge",
    source: Source,
    merge: Merge = "sum",
  ): () => void {
    let sources = this.#sources.get(name);
    if (sources === undefined) {
      const all = (sources = new Set());
      this.#add(name, help, type, (series, values) => readSources(all, series, values), merge);
      this.#sources.set(name, all);
    }
    sources.add(source);
    return () => void sources.delete(source);
  }

  #plugin<M extends OwnMetric>(name: string, kind: new (...args: never[]) => M, create: () => M): M {
    const metric = getOrCreate(this.#own, name, create);
    if (!(metric instanceof kind)) throw new TypeError(`The metric ${name} is of another kind already`);
    return metric;
  }

  #addDurations(
    name: string,
    help: string,
    label: string,
    all: () => Iterable<readonly [string, DurationStats]>,
  ): void {
    const read: Family["read"] = (series, values) => {
      for (const [value, stats] of all()) readDurations(labelText({ [label]: value }), stats, series, values);
    };
    this.#add(name, help, "histogram", read, "sum", BUCKETS);
  }

  #add(
    name: string,
    help: string,
    type: MetricSnapshot["type"],
    read: Family["read"],
    merge: Merge = "sum",
    bounds: readonly number[] = [],
  ): void {
    if (this.#families.has(name)) throw new TypeError(`There is a metric ${name} already`);
    this.#families.set(name, { name, help, type, merge, bounds, read });
  }
}

type Source = () => Iterable<readonly [Labels, number]>;

/** Two generations may tell of the same thing while one drains: the later one counts. */
function readSources(sources: Iterable<Source>, series: string[], values: number[]): void {
  const all = new Map<string, number>();
  for (const source of sources) for (const [labels, value] of source()) all.set(labelText(labels), value);
  for (const [labels, value] of all) {
    series.push(labels);
    values.push(value);
  }
}

/** What prom-client holds: of a histogram's series, its buckets, then the sum, then the count. */
async function readSamples(
  metric: OwnMetric,
  labelNames: readonly string[],
  series: string[],
  values: number[],
): Promise<void> {
  const samples: { labels: object; metricName?: string; value: number }[] = (await metric.get()).values;
  const isHistogram = metric instanceof Histogram;
  for (const { labels, metricName, value } of samples) {
    if (isHistogram && (labels as Labels)["le"] === "+Inf") continue; // the count says it again
    values.push(value);
    if (!isHistogram || metricName?.endsWith("_count")) {
      series.push(labelText(labels as Labels, labelNames));
    }
  }
}

let processRegistry: prom.Registry | undefined;

/**
 * CPU, memory and the like of the whole process, in the Prometheus text format. There is one process, so this is the
 * only state that gateways in it share.
 */
export function renderProcessMetrics(): Promise<string> {
  processRegistry ??= openProcessMetrics();
  return processRegistry.metrics();
}

/** Without the event loop: each thread measures its own, and a second sampler would wake an idle process for nothing. */
function openProcessMetrics(): prom.Registry {
  const { collectDefaultMetrics, Registry } = require("prom-client") as typeof prom;
  const register = new Registry();
  collectDefaultMetrics({ register, eventLoopMonitoringPrecision: 3_600_000 });
  for (const { name } of register.getMetricsAsArray()) {
    if (name.startsWith("nodejs_eventloop_")) register.removeSingleMetric(name);
  }
  return register;
}

function getOrCreate<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = create()));
  return value;
}
