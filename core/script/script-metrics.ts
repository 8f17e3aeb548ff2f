/** Metrics of a script on one thread: however it is written, there are so many series and no more. */
import type { Labels, Metrics } from "../plugin.ts";
import type { HookRun } from "./hook-run.ts";

const MOST_METRICS = 20;
const MOST_LABEL_SETS = 100;
const MOST_LABELS = 10;
const MOST_CHARS = 100;
/** Of all labels, before they are cut: to look at them costs time that no limit of the script counts. */
const MOST_ARGUMENT_CHARS = 64 * 1024;
const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
/** Those that Prometheus keeps for itself. */
const RESERVED = /^__|^le$/;
/** In seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

type Kind = "counter" | "gauge" | "histogram";

interface Known {
  readonly kind: Kind;
  readonly labelNames: readonly string[];
  /** Values of labels that there are series for. */
  readonly sets: Set<string>;
  tell(value: number, labels: Labels): void;
}

/** @param argument JSON `[kind, name, value, labels]` */
export function tellMetric({ stage }: HookRun, argument: string): string {
  if (argument.length > MOST_ARGUMENT_CHARS) throw new Error("The labels of a metric are too large");
  const [kind, name, value, labels] = JSON.parse(argument) as unknown[];
  stage.metrics.tell(stage.host.metrics, String(kind), String(name), value, labels);
  return "";
}

export class ScriptMetrics {
  readonly #prefix: string;
  readonly #known = new Map<string, Known>();

  /** @param script its name */
  constructor(script: string) {
    this.#prefix = `sluice_script_${script.replace(/[^a-zA-Z0-9_]/g, "_")}_`;
  }

  /** Counts, sets or observes. What it is given is not believed. @throws Error that says what is wrong */
  tell(metrics: Metrics, kind: string, name: string, value: unknown, labels: unknown): void {
    if (typeof value !== "number" || !Number.isFinite(value)) {
      throw new TypeError(`The metric ${quote(name)} takes a finite number`);
    }
    if (kind === "counter" && value < 0) throw new RangeError(`The counter ${quote(name)} only goes up`);
    const given = Object.entries(typeof labels === "object" && labels !== null ? labels : {}).sort(byName);
    const known = this.#known.get(name) ?? this.#create(metrics, kind, name, given);
    if (known.kind !== kind) throw new Error(`The metric ${name} is a ${known.kind} since its first use`);
    const { labelNames, sets } = known;
    if (given.length !== labelNames.length || !given.every(([label], i) => label === labelNames[i])) {
      const names = labelNames.length === 0 ? "no labels" : `the labels ${labelNames.join(", ")}`;
      throw new Error(`The metric ${name} has ${names} since its first use`);
    }
    const values = given.map(([, text]) => String(text).slice(0, MOST_CHARS));
    const set = JSON.stringify(values);
    if (sets.size < MOST_LABEL_SETS) sets.add(set);
    const isKnown = sets.has(set);
    known.tell(
      value,
      Object.fromEntries(labelNames.map((label, i) => [label, isKnown ? values[i]! : "other"])),
    );
  }

  #create(metrics: Metrics, kind: string, name: string, labels: readonly [string, unknown][]): Known {
    if (!NAME.test(name) || name.length > MOST_CHARS) {
      throw new Error(`${quote(name)} is not a name of a metric: letters, digits and _, no digit first`);
    }
    if (this.#known.size >= MOST_METRICS) throw new Error(`A script can have ${MOST_METRICS} metrics`);
    if (labels.length > MOST_LABELS) throw new Error(`A metric can have ${MOST_LABELS} labels`);
    for (const [label] of labels) {
      if (!NAME.test(label) || RESERVED.test(label) || label.length > MOST_CHARS)
        throw new Error(`${quote(label)} is not a name of a label`);
    }
    const labelNames = labels.map(([label]) => label);
    const series = openSeries(metrics, kind, this.#prefix + name, labelNames);
    const known = { ...series, labelNames, sets: new Set<string>() };
    this.#known.set(name, known);
    return known;
  }
}

function openSeries(
  metrics: Metrics,
  kind: string,
  name: string,
  labelNames: readonly string[],
): Pick<Known, "kind" | "tell"> {
  const help = "Of a script.";
  if (kind === "counter") {
    const counter = metrics.counter(name, help, labelNames);
    return { kind, tell: (value, labels) => counter.inc(labels, value) };
  }
  if (kind === "gauge") {
    const gauge = metrics.gauge(name, help, labelNames);
    return { kind, tell: (value, labels) => gauge.set(value, labels) };
  }
  if (kind !== "histogram") throw new Error(`There is no kind of metric ${quote(kind)}`);
  const histogram = metrics.histogram(name, help, labelNames, BUCKETS);
  return { kind, tell: (value, labels) => histogram.observe(value, labels) };
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]): number => (a < b ? -1 : a > b ? 1 : 0);

function quote(text: string): string {
  return JSON.stringify(text.slice(0, MOST_CHARS));
}
