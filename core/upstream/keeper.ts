/**
 * Looks after an upstream of one generation on the control thread: finds its targets, has their health checked, shows
 * them to operators and lets them be set, and tells data threads of them. What is known of a target outlives the
 * generation ({@link TargetStates}); so do discoveries that did not change.
 */
import type { UpstreamConfig } from "../config/checked.ts";
import { ConfigError, type Problem } from "../errors.ts";
import type { Log } from "../exchange.ts";
import { keyOf, type KeepStore, type Lease } from "../keep.ts";
import type { Clock, Exposed, Metrics } from "../plugin.ts";
import { changeTarget, describeUpstream, type TargetChange } from "./admin.ts";
import type { ConnectorTls } from "./connector.ts";
import { createDiscovery, type Discovery, findUnresolved, type Found } from "./discovery/discovery.ts";
import { type Candidate, Eligibility, eligibilityOptions } from "./eligibility.ts";
import type { FedTarget, Feed } from "./feed.ts";
import { HealthMonitor } from "./health/active.ts";
import { compileHealth, type Health } from "./health/compile.ts";
import { OutlierRecord } from "./health/outlier-record.ts";
import { countedMs, mostEjected } from "./health/passive.ts";
import type { KeptTarget } from "./kept-target.ts";
import { type ServingUpstream, TargetStates } from "./target-states.ts";
import { normalizeTarget } from "./target-url.ts";
import { connectorTls, findTlsProblems } from "./tls.ts";

/** What a keeper needs of the gateway. */
export interface KeeperContext {
  readonly kept: KeepStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly baseDir: string;
  /** How many data threads there are. */
  readonly threads: number;
  random(): number;
  /** A number that no upstream had before. */
  nextSerial(): number;
  /** Told what is doubtful but no error; pointers are relative to the upstream. */
  advise(doubts: Promise<readonly Problem[]>): void;
}

/**
 * Begins to look after an upstream.
 * @throws ConfigError with pointers relative to the upstream, when targets do not resolve and must
 */
export async function openKeeper(
  name: string,
  config: UpstreamConfig,
  context: KeeperContext,
): Promise<Keeper> {
  const problems = config.tls === undefined ? [] : findTlsProblems(config.tls);
  const health = compileHealth(config, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  if (config.tls?.verify === false) {
    context.log.warn({ upstream: name }, "certificates of targets are not verified: tls.verify is false");
  }
  const keeper = new Keeper(name, config, health, context);
  try {
    await keeper.open();
    return keeper;
  } catch (error) {
    await keeper.close();
    throw error;
  }
}

/** A target with what is told of it. */
export interface KeptMember extends Candidate {
  readonly state: KeptTarget;
  readonly outlier: OutlierRecord | undefined;
}

export class Keeper implements Feed, ServingUpstream, Exposed {
  readonly name: string;
  readonly states: TargetStates;
  readonly #config: UpstreamConfig;
  readonly #health: Health;
  readonly #context: KeeperContext;
  readonly #lease: Lease;
  readonly #eligibility: Eligibility<KeptMember>;
  readonly #listeners = new Set<() => void>();
  #members: readonly KeptMember[] = [];
  #targets: readonly FedTarget[] = [];
  #discovery: Discovery | undefined;
  #unsubscribe: (() => void) | undefined;
  /** Version of what is known when ejections were last gone through. */
  #seen: number | undefined;
  #closed = false;

  constructor(name: string, config: UpstreamConfig, health: Health, context: KeeperContext) {
    this.name = name;
    this.#config = config;
    this.#health = health;
    this.#context = context;
    this.#lease = context.kept.lease();
    this.states = this.#lease.keep(
      `targets ${name}`,
      () => new TargetStates(name, context.nextSerial(), context),
    );
    this.#eligibility = new Eligibility(eligibilityOptions(config), this.states.shared, context.clock);
  }

  get shared(): SharedArrayBuffer {
    return this.states.shared.memory;
  }

  get targets(): readonly FedTarget[] {
    return this.#targets;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The targets with all that is known of them. */
  get members(): readonly KeptMember[] {
    return this.#members;
  }

  get eligible(): readonly KeptMember[] {
    return this.#eligibility.eligible;
  }

  get panic(): boolean {
    return this.#eligibility.panic;
  }

  /** The discovery that its targets come from, if they are not listed. */
  get discovery(): Discovery | undefined {
    return this.#discovery;
  }

  /** Finds its targets for the first time. */
  async open(): Promise<void> {
    const { targets } = this.#config;
    if (Array.isArray(targets)) await this.#list(targets as readonly (string | Found)[]);
    else await this.#discover(targets as Exclude<typeof targets, readonly unknown[]>);
    this.states.started();
  }

  /** It serves from now on: what looks after the targets' health goes by its options. */
  activate(): void {
    const { states } = this;
    const { active } = this.#health;
    const context = this.#context;
    states.current = this;
    if (states.monitor?.key !== active?.key) {
      states.monitor?.close();
      // It outlives this generation, and must not keep it: what it needs comes from the one that serves.
      const tls = (): ConnectorTls => states.current!.tls();
      states.monitor = active && new HealthMonitor(active, tls, () => context.random());
    }
    this.#lookAfter();
  }

  /**
   * Looks at what has become of the targets: ends ejections that are too many, and says what nobody else says. To be
   * called now and then while it serves, because data threads eject targets, and time readmits them.
   */
  look(): void {
    const { states } = this;
    const now = this.#context.clock.monotonic();
    for (const { state } of this.#members) state.tellReturn(now);
    const { version } = states.shared;
    if (version !== this.#seen) {
      this.#seen = version;
      this.#endEjections(now);
    }
    const { panic, healthy, offered: targets } = this.#eligibility;
    if (panic !== states.panic) {
      states.panic = panic;
      const fields = { upstream: this.name, healthy, targets };
      if (panic) this.#context.log.error(fields, "too few targets are healthy: all are used");
      else this.#context.log.info(fields, "enough targets are healthy again");
    }
    states.prune();
  }

  tls(): ConnectorTls {
    return connectorTls(this.#config.tls, this.#lease);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe?.();
    for (const { state } of this.#members) this.states.release(state);
    await this.#lease.release();
  }

  describe(): object {
    return describeUpstream(this, this.#context.clock.monotonic());
  }

  change(patch: unknown): void {
    changeTarget(this, patch as TargetChange);
    this.look();
  }

  async #list(targets: readonly (string | Found)[]): Promise<void> {
    const list = targets.map((target) => (typeof target === "string" ? { url: target, weight: 1 } : target));
    this.#setTargets(list);
    const unresolved = findUnresolved(list.map(({ url }) => url)).then((all) =>
      all.map(({ index, reason }) => ({
        code: "CONFIG_UNRESOLVED",
        message: `The name of this target does not resolve: ${reason}`,
        pointer: `/targets/${index}`,
      })),
    );
    if (this.#config.onUnresolved === "warn") return this.#context.advise(unresolved);
    const problems = await unresolved;
    if (problems.length > 0) throw new ConfigError(problems);
  }

  async #discover(source: Exclude<UpstreamConfig["targets"], readonly unknown[]>): Promise<void> {
    const discovery = this.#lease.keep(keyOf(`discovery ${this.name}`, source), () =>
      createDiscovery(source, { ...this.#context, upstream: this.name }),
    );
    this.#discovery = discovery;
    await discovery.ready;
    if (discovery.found.length === 0) {
      const message = `No targets were found: ${discovery.failure?.message ?? "there are none"}`;
      const problem = { code: "CONFIG_UNRESOLVED", message, pointer: "/targets" };
      if (this.#config.onUnresolved === "fail") throw new ConfigError([problem]);
      this.#context.advise(Promise.resolve([problem]));
    }
    this.#unsubscribe = discovery.subscribe(() => this.#setTargets(discovery.found));
    this.#setTargets(discovery.found);
  }

  /** Makes these the targets, each once, in the order in which they were found. */
  #setTargets(found: readonly Found[]): void {
    if (this.#closed) return;
    const { states } = this;
    const old = new Map(this.#members.map((member) => [member.state.url, member]));
    const members = new Map<string, KeptMember>();
    for (const { url, weight } of found) {
      const normal = normalizeTarget(url);
      if (members.has(normal)) continue; // the configuration has none twice, but sources may
      const existing = old.get(normal);
      old.delete(normal);
      members.set(normal, { ...(existing ?? this.#open(normal)), baseWeight: weight, weight });
    }
    this.#members = [...members.values()];
    for (const { state } of old.values()) states.release(state);
    this.#targets = this.#members.map(({ state, outlier, baseWeight }) => ({
      url: state.url,
      weight: baseWeight,
      record: state.memory,
      outlier: outlier?.memory,
    }));
    this.#eligibility.setTargets(this.#members);
    if (states.current === this) this.#lookAfter();
    for (const listener of this.#listeners) listener();
  }

  #open(url: string): Pick<KeptMember, "state" | "outlier"> {
    const { passive } = this.#health;
    const state = this.states.acquire(url);
    if (passive === undefined) return { state, outlier: undefined };
    const { failures } = passive;
    const withinMs = countedMs(passive);
    if (state.outlier?.fits(failures, withinMs)) return { state, outlier: state.outlier };
    const memory = OutlierRecord.create(failures, withinMs, this.#context.threads);
    return { state, outlier: new OutlierRecord(memory, 0) };
  }

  /** Has the health of its targets looked after. A verdict that nobody looks after any more is forgotten. */
  #lookAfter(): void {
    for (const { state, outlier } of this.#members) {
      state.enter();
      state.outlier = outlier;
      if (this.#health.active === undefined) state.setHealthy(undefined);
    }
    this.states.monitor?.update(this.#members.map(({ state }) => state));
    this.#seen = undefined;
    this.look();
  }

  /** Ends ejections that are too many for so few targets, the oldest first; all when nobody would make any. */
  #endEjections(now: number): void {
    const { passive } = this.#health;
    const states = this.#members.map(({ state }) => state);
    const most = passive === undefined ? 0 : Math.min(mostEjected(passive, states.length), states.length - 1);
    const ejected = states.filter(({ ejectedUntil }) => ejectedUntil > now);
    if (ejected.length <= most) return;
    ejected.sort((a, b) => a.ejectedUntil - b.ejectedUntil);
    for (const state of ejected.slice(0, ejected.length - most)) state.readmit();
  }
}
