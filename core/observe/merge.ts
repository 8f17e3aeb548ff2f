/** Makes one snapshot of those of several threads. */
import type { Merge } from "../plugin.ts";
import { labelText, type MetricSnapshot, type Snapshot, valuesPerSeries } from "./snapshot.ts";

/** One snapshot of many; series that several have become one, as their metric wants it. */
export function mergeSnapshots(snapshots: Iterable<Snapshot>): Snapshot {
  const merged = new Map<string, { metric: MetricSnapshot; rows: Map<string, number> }>();
  for (const snapshot of snapshots) {
    for (const metric of snapshot) {
      let into = merged.get(metric.name);
      if (into === undefined) {
        into = { metric: { ...metric, series: [], values: [] }, rows: new Map() };
        merged.set(metric.name, into);
      }
      addSeries(into.metric, into.rows, metric);
    }
  }
  return Array.from(merged.values(), ({ metric }) => metric);
}

/** The metrics of a thread with its name on those that are kept apart. */
export function labelThread(snapshot: Snapshot, thread: string): Snapshot {
  const label = labelText({ thread });
  return snapshot.map((metric) => {
    if (metric.merge !== "thread") return metric;
    const series = metric.series.map((labels) => (labels === "" ? label : `${label},${labels}`));
    return { ...metric, series };
  });
}

/** @param rows where the values of a series of `into` begin */
function addSeries(into: MetricSnapshot, rows: Map<string, number>, from: MetricSnapshot): void {
  const width = valuesPerSeries(into);
  const merge = into.type === "gauge" ? MERGES[into.merge] : add;
  for (let i = 0; i < from.series.length; i++) {
    const labels = from.series[i]!;
    const row = rows.get(labels);
    if (row === undefined) {
      rows.set(labels, into.values.length);
      into.series.push(labels);
      for (let j = 0; j < width; j++) into.values.push(from.values[i * width + j]!);
    } else {
      for (let j = 0; j < width; j++) {
        into.values[row + j] = merge(into.values[row + j]!, from.values[i * width + j]!);
      }
    }
  }
}

const add = (a: number, b: number): number => a + b;

const MERGES: Record<Merge, (a: number, b: number) => number> = {
  sum: add,
  max: Math.max,
  min: Math.min,
  thread: (_, later) => later,
};

/**
 * What was counted and is in no thread's snapshot any more, so that sums never go backwards: the counts of dead
 * threads, and of series that began anew or ended in one thread while others go on.
 */
export class CountBase {
  /** Of dead threads. */
  #lasting: Snapshot = [];
  /** Of series that began anew; as long as others tell of them. */
  #passing: Snapshot = [];
  /** By thread, of series that it does not tell of, and may go on with; as long as others tell of them. */
  readonly #silent = new Map<number, Snapshot>();

  /** A thread died: all that it counted stays. */
  retire(thread: number, last: Snapshot): void {
    this.#lasting = mergeSnapshots([this.#lasting, last.filter(isCount)]);
    this.#passing = mergeSnapshots([this.#passing, this.#silent.get(thread) ?? []]);
    this.#silent.delete(thread);
  }

  /** Keeps what a thread counted before and does not tell of any more. */
  follow(thread: number, before: Snapshot, after: Snapshot): void {
    const later = new Map(after.map((metric) => [metric.name, metric]));
    // No series is in both: what a thread tells of again is not silent any more.
    const counts = [...(this.#silent.get(thread) ?? []), ...before.filter(isCount)];
    const of = (fate: Fate): Snapshot =>
      select(counts, (metric) => {
        const fateOf = fates(metric, later.get(metric.name));
        return (i) => fateOf(i) === fate;
      });
    this.#silent.set(thread, mergeSnapshots([of("silent")]));
    this.#passing = mergeSnapshots([this.#passing, of("anew")]);
  }

  /** What must be added to the snapshots of the threads that live. Series that ended in all of them are forgotten. */
  beside(living: readonly Snapshot[]): Snapshot[] {
    const all = [...living, this.#lasting].flat();
    const isKnown = ({ name, series }: MetricSnapshot): ((i: number) => boolean) => {
      const known = new Set(all.flatMap((metric) => (metric.name === name ? metric.series : [])));
      return (i) => known.has(series[i]!);
    };
    this.#passing = select(this.#passing, isKnown);
    for (const [thread, silent] of this.#silent) this.#silent.set(thread, select(silent, isKnown));
    return [this.#lasting, this.#passing, ...this.#silent.values()];
  }
}

function isCount({ type }: MetricSnapshot): boolean {
  return type !== "gauge";
}

/** What became of a series: it goes on, began anew, or is not told of. */
type Fate = "on" | "anew" | "silent";

/** Gives a function that says what became of a series of `before`. */
function fates(before: MetricSnapshot, after: MetricSnapshot | undefined): (i: number) => Fate {
  const width = valuesPerSeries(before);
  const countOf = ({ values }: MetricSnapshot, i: number): number => values[(i + 1) * width - 1]!;
  let rows: Map<string, number> | undefined;
  return (i) => {
    if (after === undefined) return "silent";
    let now: number | undefined = i;
    if (after.series[i] !== before.series[i]) {
      rows ??= new Map(after.series.map((labels, j) => [labels, j]));
      now = rows.get(before.series[i]!);
    }
    if (now === undefined) return "silent";
    return countOf(after, now) < countOf(before, i) ? "anew" : "on";
  };
}

/** Of each metric the series that a test of its own wants. */
function select(all: Snapshot, testOf: (metric: MetricSnapshot) => (i: number) => boolean): Snapshot {
  return all.map((metric) => selectSeries(metric, testOf(metric))).filter(({ series }) => series.length > 0);
}

function selectSeries(metric: MetricSnapshot, test: (i: number) => boolean): MetricSnapshot {
  const width = valuesPerSeries(metric);
  const kept = metric.series.flatMap((_, i) => (test(i) ? [i] : []));
  return {
    ...metric,
    series: kept.map((i) => metric.series[i]!),
    values: kept.flatMap((i) => metric.values.slice(i * width, (i + 1) * width)),
  };
}
