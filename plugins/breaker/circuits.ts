/**
 * The circuits of equal stages that this thread has met, by what they are told apart by: as many as are allowed, those
 * that were not used for long make room. Outlives generations.
 */
import type { Clock, Host, Target } from "../../core/plugin.ts";
import { CircuitCell } from "./cell.ts";
import { Circuit, type CircuitContext, type CircuitOptions } from "./circuit.ts";
import type { Registry, Series, Subject } from "./registry.ts";
import type { CircuitState } from "./state-word.ts";

/** How many circuits are looked at to find one that may go; after that the next one goes, whatever its state. */
const EVICTION_TRIES = 64;

/** What a circuit is about: what operators call it, what it is shown with, and what it is counted under. */
export interface Topic {
  readonly id: string;
  readonly about: Readonly<Record<string, string>>;
  /** Bounded by the configuration, unlike `about`. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface CircuitsOptions extends CircuitOptions {
  /** Most circuits at once. */
  readonly keys: number;
}

/** Time that the state of a circuit is kept for longer than it can matter when nothing happens. */
const SPARE_MS = 10_000;

/** What {@link Circuits} makes circuits for. */
export type TopicOf = (key: string, target: Target | undefined) => Topic;

/** A circuit, where it is shown and counted, and whether it was asked for since somebody looked. */
export class Entry implements CircuitContext {
  readonly circuit: Circuit;
  readonly topic: Topic;
  readonly subject: Subject;
  readonly series: Series;
  isUsed = true;
  readonly clock: Clock;
  readonly thread: number;
  readonly #cell: CircuitCell;
  readonly #owner: Circuits;

  constructor(topic: Topic, options: CircuitOptions, cell: CircuitCell, registry: Registry, owner: Circuits) {
    this.topic = topic;
    this.#cell = cell;
    this.#owner = owner;
    this.clock = owner.host.clock;
    this.thread = owner.host.shared.thread;
    this.subject = registry.subject(topic.id, topic.about);
    this.series = registry.series(topic.labels);
    this.circuit = new Circuit(options, this, cell);
    this.subject.circuits.add(this.circuit);
    this.series.circuits.add(this.circuit);
    this.onLocated();
  }

  random(): number {
    return this.#owner.host.random();
  }

  onTransition(to: CircuitState, reason: string, openForMs: number | undefined): void {
    this.series.transitions[to]++;
    const fields = { ...this.#fields(), state: to, reason };
    const { log } = this.#owner.host;
    if (to === "open") {
      const openFor = openForMs === undefined ? {} : { openForMs: Math.round(openForMs) };
      log.warn({ ...fields, ...openFor }, "circuit opened");
    } else log.info(fields, to === "closed" ? "circuit closed" : "circuit is half-open");
  }

  onRecovered(): void {
    this.#owner.host.log.info(this.#fields(), "circuit lets all requests in again");
  }

  onLocated(): void {
    this.subject.forceAgain(this.circuit);
    if (this.#cell.isOwn) this.#owner.tellOfNoRoom();
  }

  /** What a line says of it. A circuit of a stage leaves out what the stage's own log has in every line. */
  #fields(): Record<string, string> {
    const { route: _, stage: __, ...about } = this.topic.about;
    return { circuit: this.topic.id, ...about };
  }
}

export class Circuits {
  readonly #identity: string;
  readonly #options: CircuitsOptions;
  readonly #topicOf: TopicOf;
  readonly #registry: Registry;
  readonly #entries = new Map<string, Entry>();
  /** Where the search for one that may go is: beginning anew each time would pass all the gaps again. */
  #hand = this.#entries.entries();
  /** Generations that show them, oldest first, with what ends that by circuit. */
  readonly #hosts = new Map<Host, Map<string, () => void>>();

  /** Lends its clock, log and random numbers: of the newest generation, so that no older one is kept. */
  host: Host;

  /** @param identity what makes circuits of other threads the same, beside their keys */
  constructor(identity: string, options: CircuitsOptions, topicOf: TopicOf, registry: Registry, host: Host) {
    this.#identity = identity;
    this.#options = options;
    this.#topicOf = topicOf;
    this.#registry = registry;
    this.host = host;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The circuit of a key, a new one if there is none. */
  get(key: string, target?: Target): Entry {
    const entry = this.#entries.get(key);
    if (entry === undefined) return this.#add(key, target);
    entry.isUsed = true;
    return entry;
  }

  /** Shows the circuits, present and to come, as long as the generation of `host` lives. */
  attach(host: Host): void {
    const shown = new Map<string, () => void>();
    this.#hosts.set(host, shown);
    this.host = host;
    host.onClose(() => this.#detach(host));
    for (const { subject } of this.#entries.values()) {
      shown.set(subject.id, host.expose("circuit-breakers", subject.id, subject));
    }
  }

  /** What is counted, once however many stages share it: through the first of `attach`. */
  seriesFor(host: Host): Iterable<Series> {
    const [first] = this.#hosts.keys();
    return first === host ? new Set([...this.#entries.values()].map(({ series }) => series)) : [];
  }

  /** There are more circuits than the threads can share. */
  tellOfNoRoom(): void {
    if (this.host.shared.threads > 1) this.#registry.tellOfNoRoom(this.host.log);
  }

  close(): void {
    for (const key of [...this.#entries.keys()]) this.#remove(key);
    this.#registry.dropIdle();
  }

  #detach(host: Host): void {
    this.#hosts.delete(host);
    if (this.host === host) this.host = [...this.#hosts.keys()].at(-1) ?? host;
  }

  #add(key: string, target: Target | undefined): Entry {
    const entry = new Entry(
      this.#topicOf(key, target),
      this.#options,
      this.#openCell(key),
      this.#registry,
      this,
    );
    // After it was made: counts that both share are not forgotten between them.
    if (this.#entries.size >= this.#options.keys) this.#evict();
    this.#entries.set(key, entry);
    const { subject } = entry;
    for (const [host, shown] of this.#hosts) {
      shown.set(subject.id, host.expose("circuit-breakers", subject.id, subject));
    }
    return entry;
  }

  #openCell(key: string): CircuitCell {
    const { circuits } = this.host.shared;
    const { withinMs, openForMs, maxOpenForMs, recoveryMs } = this.#options;
    const keptMs = {
      free: withinMs + SPARE_MS,
      otherwise: Math.max(withinMs, openForMs, maxOpenForMs, recoveryMs) + SPARE_MS,
    };
    return new CircuitCell(circuits, `breaker ${this.#identity}\n${key}`, keptMs);
  }

  /** Makes room: goes on round until a circuit is closed and was not used since it came by. */
  #evict(): void {
    for (let left = EVICTION_TRIES; ; left--) {
      let next = this.#hand.next();
      if (next.done) {
        this.#hand = this.#entries.entries();
        next = this.#hand.next();
      }
      const [key, entry] = next.value!;
      if (left === 0 || (!entry.isUsed && entry.circuit.isIdle)) {
        this.#remove(key);
        if (entry.series.circuits.size === 0) this.#registry.dropSeries(entry.series);
        return;
      }
      entry.isUsed = false;
    }
  }

  #remove(key: string): void {
    const { circuit, subject, series } = this.#entries.get(key)!;
    this.#entries.delete(key);
    circuit.close();
    series.circuits.delete(circuit);
    subject.circuits.delete(circuit);
    if (subject.circuits.size > 0) return;
    this.#registry.dropSubject(subject);
    for (const shown of this.#hosts.values()) {
      shown.get(subject.id)?.();
      shown.delete(subject.id);
    }
  }
}
