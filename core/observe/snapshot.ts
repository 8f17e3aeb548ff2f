/** All metrics of one thread at one moment, as plain data that can be posted to another; and as text. */
import type { Labels, Merge } from "../plugin.ts";

/** A metric and all of its series. */
export interface MetricSnapshot {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly merge: Merge;
  /** Upper bounds of a histogram's buckets, without the infinite one; the same in all threads. Otherwise none. */
  readonly bounds: readonly number[];
  /** Labels of each series, as {@link labelText} writes them. */
  readonly series: string[];
  /**
   * Values of all series, one after the other. A counter and a gauge have one each; a histogram has how many were up
   * to each bound, then their sum, then how many there were.
   */
  readonly values: number[];
}

export type Snapshot = readonly MetricSnapshot[];

/** Sums for `/admin/stats`. */
export interface Totals {
  activeRequests: number;
  requests: number;
  byStatus: Record<string, number>;
  errors: Record<string, number>;
}

export const CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** How many values a series of a metric has. */
export function valuesPerSeries({ type, bounds }: Pick<MetricSnapshot, "type" | "bounds">): number {
  return type === "histogram" ? bounds.length + 2 : 1;
}

/** Labels in the Prometheus text format, without braces: `route="a",status="200"`. */
export function labelText(labels: Labels, names: readonly string[] = Object.keys(labels)): string {
  let text = "";
  for (const name of names) {
    const value = labels[name];
    if (value === undefined) continue;
    text += `${text === "" ? "" : ","}${name}="${escapeValue(value)}"`;
  }
  return text;
}

/** The Prometheus text format. */
export function renderSnapshot(snapshot: Snapshot): string {
  let text = "";
  for (const metric of snapshot) {
    const { name, help, type, series, values } = metric;
    text += `${text === "" ? "" : "\n"}# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
    if (type === "histogram") text += renderHistogram(metric);
    else {
      for (let i = 0; i < series.length; i++) text += sampleLine(name, series[i]!, values[i]!);
    }
  }
  return text;
}

/** What the metrics say about requests and errors. */
export function totalsOf(snapshot: Snapshot): Totals {
  const totals: Totals = { activeRequests: 0, requests: 0, byStatus: {}, errors: {} };
  for (const { name, series, values } of snapshot) {
    if (name === "sluice_active_requests") totals.activeRequests = values[0] ?? 0;
    else if (name === "sluice_errors_total") {
      for (let i = 0; i < series.length; i++) totals.errors[labelOf(series[i]!, "code")] = values[i]!;
    } else if (name === "sluice_http_requests_total") {
      for (let i = 0; i < series.length; i++) {
        const status = labelOf(series[i]!, "status");
        totals.byStatus[status] = (totals.byStatus[status] ?? 0) + values[i]!;
        totals.requests += values[i]!;
      }
    }
  }
  return totals;
}

/** A label of a series, as long as nothing of it is escaped. */
function labelOf(series: string, name: string): string {
  return new RegExp(`(?:^|",)${name}="([^"]*)"`).exec(series)?.[1] ?? "";
}

function renderHistogram({ name, bounds, series, values }: MetricSnapshot): string {
  let text = "";
  let at = 0;
  for (const labels of series) {
    const prefix = labels === "" ? "" : `${labels},`;
    for (const bound of bounds) text += sampleLine(`${name}_bucket`, `${prefix}le="${bound}"`, values[at++]!);
    const [sum, count] = [values[at++]!, values[at++]!];
    text += sampleLine(`${name}_bucket`, `${prefix}le="+Inf"`, count);
    text += sampleLine(`${name}_sum`, labels, sum) + sampleLine(`${name}_count`, labels, count);
  }
  return text;
}

function sampleLine(name: string, labels: string, value: number): string {
  return `${name}${labels === "" ? "" : `{${labels}}`} ${numberText(value)}\n`;
}

function numberText(value: number): string {
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}

function escapeValue(value: string): string {
  return /["\\\n]/.test(value) ? escapeHelp(value).replaceAll('"', '\\"') : value;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
