/** All scripts of one thread, over generations: counts them, and goes on counting when a file changes. */
import type { Labels, Metrics } from "../plugin.ts";
import { stateOf } from "./exposed-script.ts";
import type { ScriptRunner } from "./runner.ts";
import { SCRIPT_STATES } from "./view.ts";

type Series = readonly [Labels, number][];

/** What versions of a script have counted that are gone. */
interface Past {
  calls: number;
  demotions: number;
  cpuSeconds: number;
  readonly errors: Map<string, number>;
}

export class ScriptRegistry {
  readonly #runners = new Set<ScriptRunner>();
  /** By name, as long as there is a script of that name. */
  readonly #past = new Map<string, Past>();
  readonly #ends: readonly (() => void)[];

  constructor(metrics: Metrics) {
    const sum = (value: (runner: ScriptRunner) => number, past: (past: Past) => number): (() => Series) => {
      return () =>
        this.#read((all, before) => all.map(value).reduce((a, b) => a + b, before ? past(before) : 0));
    };
    const counter = (name: string, help: string, source: () => Series): (() => void) =>
      metrics.collect(name, help, "counter", source);
    this.#ends = [
      counter(
        "sluice_script_calls_total",
        "Calls of hooks of a script.",
        sum(
          ({ stats }) => stats.calls,
          ({ calls }) => calls,
        ),
      ),
      counter(
        "sluice_script_cpu_seconds_total",
        "Processor time that a script has taken.",
        sum(
          ({ cpuSeconds }) => cpuSeconds,
          ({ cpuSeconds }) => cpuSeconds,
        ),
      ),
      counter(
        "sluice_script_demotions_total",
        "Times that a script was moved to a thread of its own.",
        sum(
          ({ stats }) => stats.demotions,
          ({ demotions }) => demotions,
        ),
      ),
      counter("sluice_script_errors_total", "Calls of hooks that failed, by the code of the error.", () =>
        this.#readErrors(),
      ),
      metrics.collect("sluice_script_heap_bytes", "Heap of the isolates of a script.", "gauge", () =>
        this.#read((all) => all.reduce((bytes, { heapBytes }) => bytes + heapBytes, 0)),
      ),
      metrics.collect(
        "sluice_script_state",
        "How a script is treated: 0 running, 1 demoted, 2 quarantined.",
        "gauge",
        () => this.#read((all) => Math.max(...all.map((runner) => SCRIPT_STATES.indexOf(stateOf(runner))))),
        "max",
      ),
    ];
  }

  add(runner: ScriptRunner): ScriptRunner {
    this.#runners.add(runner);
    return runner;
  }

  /** What it has counted stays. */
  remove(runner: ScriptRunner): void {
    this.#runners.delete(runner);
    const { stats, cpuSeconds, bundle } = runner;
    if (!this.#byName().has(bundle.name)) {
      this.#past.delete(bundle.name);
      return;
    }
    const past = this.#past.get(bundle.name) ?? { calls: 0, demotions: 0, cpuSeconds: 0, errors: new Map() };
    past.calls += stats.calls;
    past.demotions += stats.demotions;
    past.cpuSeconds += cpuSeconds;
    addErrors(past.errors, stats.errors);
    this.#past.set(bundle.name, past);
  }

  close(): void {
    for (const end of this.#ends) end();
  }

  #byName(): Map<string, ScriptRunner[]> {
    return Map.groupBy(this.#runners, ({ bundle }) => bundle.name);
  }

  #read(value: (runners: readonly ScriptRunner[], past: Past | undefined) => number): Series {
    return Array.from(this.#byName(), ([script, all]) => [{ script }, value(all, this.#past.get(script))]);
  }

  #readErrors(): Series {
    return [...this.#byName()].flatMap(([script, all]) => {
      const counts = new Map(this.#past.get(script)?.errors);
      for (const { stats } of all) addErrors(counts, stats.errors);
      return Array.from(counts, ([reason, count]): [Labels, number] => [{ script, reason }, count]);
    });
  }
}

function addErrors(into: Map<string, number>, errors: ReadonlyMap<string, number>): void {
  for (const [code, count] of errors) into.set(code, (into.get(code) ?? 0) + count);
}
