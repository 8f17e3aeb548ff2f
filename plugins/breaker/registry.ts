/**
 * All circuits of a gateway as operators see them: shown and changed through the admin listener, counted for metrics.
 * Stages with different options may have circuits of one subject, such as an upstream; they are shown as one, and
 * what is forced is forced for all, also for those to come when options change.
 */
import {
  type Clock,
  ConfigError,
  type Exposed,
  type Labels,
  type Log,
  type Metrics,
  type Problem,
  type SharedCells,
} from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import type { Circuit } from "./circuit.ts";
import { ForceRecord } from "./force-record.ts";
import type { CircuitState, Force } from "./state-word.ts";

/** The worst first; by place also the value of the metric, from the end. */
const BY_SEVERITY = ["open", "half-open", "closed"] as const satisfies readonly CircuitState[];
const STATE_VALUE = { closed: 0, "half-open": 1, open: 2 } as const satisfies Record<CircuitState, number>;

/** What circuits are about, for the admin listener. */
export class Subject implements Exposed {
  readonly id: string;
  readonly about: Readonly<Record<string, string>>;
  /** Those of this thread. */
  readonly circuits = new Set<Circuit>();
  readonly #record: ForceRecord;
  readonly #clock: Clock;

  constructor(id: string, about: Readonly<Record<string, string>>, record: ForceRecord, clock: Clock) {
    this.id = id;
    this.about = about;
    this.#record = record;
    this.#clock = clock;
  }

  /** Something is forced that other threads may not know of. */
  get isNeeded(): boolean {
    return this.#record.isOwn;
  }

  /** Does to a circuit what an operator wants of all, if any ever said so. */
  forceAgain(circuit: Circuit): void {
    const force = this.#record.read(this.#clock.monotonic());
    if (force !== "unknown") circuit.force(force === "nothing" ? undefined : force);
  }

  describe(): object {
    const all = [...this.circuits].toSorted(
      (a, b) => BY_SEVERITY.indexOf(a.state) - BY_SEVERITY.indexOf(b.state),
    );
    const [worst, ...others] = all.map((circuit) => circuit.describe());
    return {
      id: this.id,
      ...this.about,
      ...worst,
      ...(others.length === 0 ? {} : { others }),
    };
  }

  change(patch: unknown): void {
    const { force, reset } = checkPatch(patch);
    if (force !== undefined) {
      this.#record.write(force ?? "nothing", this.#clock.monotonic());
      for (const circuit of this.circuits) circuit.force(force ?? undefined);
    }
    if (reset) for (const circuit of this.circuits) circuit.reset();
  }
}

/** How long counts that no circuit shares any more are kept, in milliseconds: one with other options may come. */
const IDLE_MS = 600_000;

/** Counts that circuits share. */
export class Series {
  readonly labels: Labels;
  readonly circuits = new Set<Circuit>();
  /** Since when it has been seen without circuits, in monotonic milliseconds. */
  idleSince: number | undefined;
  readonly transitions: Record<CircuitState, number> = { closed: 0, "half-open": 0, open: 0 };
  rejected = 0;

  constructor(labels: Labels) {
    this.labels = labels;
  }
}

export class Registry {
  readonly #subjects = new Map<string, Subject>();
  readonly #series = new Map<string, Series>();
  readonly #cells: SharedCells;
  readonly #clock: Clock;
  #toldOfNoRoom = false;

  /** @param cells where it is kept what operators force */
  constructor(cells: SharedCells, clock: Clock) {
    this.#cells = cells;
    this.#clock = clock;
  }

  /** What there is under an id; {@link dropSubject} when nothing is about it any more. */
  subject(id: string, about: Readonly<Record<string, string>>): Subject {
    let subject = this.#subjects.get(id);
    if (subject === undefined) {
      const record = new ForceRecord(this.#cells, `breaker forced ${id}`);
      subject = new Subject(id, about, record, this.#clock);
      this.#subjects.set(id, subject);
    }
    return subject;
  }

  /** Forgets a subject, unless something is forced that must not be forgotten. */
  dropSubject(subject: Subject): void {
    if (!subject.isNeeded) this.#subjects.delete(subject.id);
  }

  /** Says once that some circuits are not shared. */
  tellOfNoRoom(log: Log): void {
    if (this.#toldOfNoRoom) return;
    this.#toldOfNoRoom = true;
    log.warn({}, "there are more circuits than threads can share: each thread has its own of those beyond");
  }

  /** Counts under labels. They go on when a stage's options change, and its circuits begin anew. */
  series(labels: Labels): Series {
    const key = JSON.stringify(labels);
    let series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, (series = new Series(labels)));
    series.idleSince = undefined;
    return series;
  }

  /** Forgets counts: targets that discovery finds come and go without end. */
  dropSeries(series: Series): void {
    this.#series.delete(JSON.stringify(series.labels));
  }

  /** Forgets counts that have long been without circuits. */
  dropIdle(): void {
    const now = this.#clock.monotonic();
    for (const series of this.#series.values()) {
      if (series.circuits.size > 0) continue;
      series.idleSince ??= now;
      if (now - series.idleSince >= IDLE_MS) this.dropSeries(series);
    }
  }
}

/** Registers the metrics of what `all` gives when they are read. */
export function collectCircuits(metrics: Metrics, all: () => Iterable<Series>): void {
  const each = (values: (series: Series) => (readonly [Labels, number])[]) => () =>
    [...all()].flatMap((series) => values(series));
  metrics.collect(
    "sluice_circuit_state",
    "The worst state of the circuits: 0 closed, 1 half-open, 2 open.",
    "gauge",
    each(({ labels, circuits }) => [
      [labels, [...circuits].reduce((worst, { state }) => Math.max(worst, STATE_VALUE[state]), 0)],
    ]),
    "max",
  );
  metrics.collect(
    "sluice_circuit_admitted_ratio",
    "The smallest share of requests that a circuit lets in: 0 open, 1 closed, between them while it recovers.",
    "gauge",
    each(({ labels, circuits }) => [
      [labels, [...circuits].reduce((least, { share }) => Math.min(least, share), 1)],
    ]),
    "min",
  );
  metrics.collect(
    "sluice_circuits",
    "Circuits by state.",
    "gauge",
    each(({ labels, circuits }) => {
      // All threads that have a circuit tell of it, but only one counts it.
      const states = [...circuits].filter(({ isTold }) => isTold).map(({ state }) => state);
      return BY_SEVERITY.map((state) => {
        const count = states.filter((each) => each === state).length;
        return [{ ...labels, state }, count] as const;
      });
    }),
  );
  metrics.collect(
    "sluice_circuit_transitions_total",
    "Changes of state.",
    "counter",
    each(({ labels, transitions }) => BY_SEVERITY.map((to) => [{ ...labels, to }, transitions[to]] as const)),
  );
  metrics.collect(
    "sluice_circuit_rejected_total",
    "Requests that were not let in.",
    "counter",
    each(({ labels, rejected }) => [[labels, rejected] as const]),
  );
}

/** @throws ConfigError with pointers into the patch */
function checkPatch(patch: unknown): { force: Force | null | undefined; reset: boolean } {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) {
    throw new ConfigError('Send an object, such as {"force": "open"} or {"reset": true}', "", "CONFIG_TYPE");
  }
  const problems: Problem[] = [];
  const report = (code: string, message: string, pointer: string): void =>
    void problems.push({ code, message, pointer });
  const { force, reset, ...others } = patch as Record<string, unknown>;
  for (const key of Object.keys(others)) {
    report("CONFIG_UNKNOWN_KEY", `Unknown key "${key}"; known are force and reset`, childPointer("", key));
  }
  if (force !== undefined && force !== "open" && force !== "closed" && force !== null) {
    report("CONFIG_VALUE", '`force` is "open", "closed" or null', "/force");
  }
  if (reset !== undefined && typeof reset !== "boolean")
    report("CONFIG_TYPE", "`reset` is true or false", "/reset");
  if (force === undefined && reset === undefined && problems.length === 0) {
    report("CONFIG_MISSING_KEY", "Send `force` or `reset`", "");
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return { force: force as Force | null | undefined, reset: reset === true };
}
