/**
 * An upstream of one generation: its targets as they come and go, and which of them may be used. What is known of
 * a target outlives the generation ({@link TargetStates}); so do connections and discoveries that did not change.
 */
import type { UpstreamConfig } from "../config/checked.ts";
import { ConfigError, GatewayError, type Problem } from "../errors.ts";
import type { Log } from "../exchange.ts";
import { keyOf, type KeepStore, type Lease } from "../keep.ts";
import type { GatewayMetrics } from "../observe/metrics.ts";
import type { Clock, Exposed, Target, Upstream } from "../plugin.ts";
import { retryAfterSeconds } from "../retry-after.ts";
import { parseDuration, parsePercent } from "../units.ts";
import { changeTarget, describeUpstream, type TargetChange } from "./admin.ts";
import type { ConnectorTls } from "./connector.ts";
import { createDiscovery, type Discovery, findUnresolved, type Found } from "./discovery/discovery.ts";
import { type ActiveHealth, HealthMonitor } from "./health/active.ts";
import { compileHealth, type Health } from "./health/compile.ts";
import { OutlierDetector } from "./health/passive.ts";
import { Eligibility, type PanicWatch } from "./eligibility.ts";
import { Members } from "./members.ts";
import type { HttpTarget, TargetGroup } from "./target.ts";
import { type RequestWatch, type ServingUpstream, TargetStates } from "./target-states.ts";
import { createTlsContext, findTlsProblems } from "./tls.ts";

/** What an upstream needs of the gateway. */
export interface UpstreamContext {
  readonly kept: KeepStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: GatewayMetrics;
  readonly baseDir: string;
  random(): number;
  /** Told what is doubtful but no error; pointers are relative to the upstream. */
  advise(doubts: Promise<readonly Problem[]>): void;
}

/**
 * Opens an upstream.
 * @throws ConfigError with pointers relative to the upstream, when targets do not resolve and must
 */
export async function openUpstream(
  name: string,
  config: UpstreamConfig,
  context: UpstreamContext,
): Promise<LiveUpstream> {
  const problems = config.tls === undefined ? [] : findTlsProblems(config.tls);
  const health = compileHealth(config, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  if (config.tls?.verify === false) {
    context.log.warn({ upstream: name }, "certificates of targets are not verified: tls.verify is false");
  }
  const upstream = new LiveUpstream(name, config, health, context);
  try {
    await upstream.open();
    return upstream;
  } catch (error) {
    await upstream.close();
    throw error;
  }
}

export class LiveUpstream implements Upstream, TargetGroup, ServingUpstream, PanicWatch, Exposed {
  readonly name: string;
  readonly stats: TargetGroup["stats"];
  readonly config: UpstreamConfig;
  readonly states: TargetStates;
  readonly #health: Health;
  readonly #outliers: OutlierDetector | undefined;
  readonly #context: UpstreamContext;
  readonly #lease: Lease;
  readonly #members: Members;
  readonly #eligibility: Eligibility;
  #targets: readonly HttpTarget[] = [];
  #discovery: Discovery | undefined;
  #unsubscribe: (() => void) | undefined;
  #closed = false;

  constructor(name: string, config: UpstreamConfig, health: Health, context: UpstreamContext) {
    this.name = name;
    this.config = config;
    this.#health = health;
    this.#context = context;
    this.#lease = context.kept.lease();
    this.stats = context.metrics.upstream(name);
    this.states = this.#lease.keep(
      `targets ${name}`,
      () => new TargetStates(name, context.log, context.clock, context.metrics),
    );
    const { kept, log, clock } = context;
    this.#members = new Members({
      config,
      group: this,
      states: this.states,
      kept,
      log,
      tls: () => this.tls(),
    });
    const slowStartMs = parseDuration(config.slowStart);
    const panicShare = parsePercent(config.panicThreshold);
    this.#eligibility = new Eligibility({ slowStartMs, panicShare }, this.states, clock, this);
    this.#outliers = health.passive && new OutlierDetector(health.passive, context.clock);
  }

  get outliers(): RequestWatch | undefined {
    return this.states.outliers;
  }

  get targets(): readonly HttpTarget[] {
    return this.#targets;
  }

  get eligible(): readonly HttpTarget[] {
    return this.#eligibility.eligible;
  }

  get version(): number {
    return this.#eligibility.version;
  }

  /** True while so few targets are healthy that all are used. */
  get panic(): boolean {
    return this.#eligibility.panic;
  }

  get inFlight(): number {
    return this.states.inFlight;
  }

  /** The discovery that its targets come from, if they are not listed. */
  get discovery(): Discovery | undefined {
    return this.#discovery;
  }

  accepts(target: Target): boolean {
    return this.#eligibility.accepts(target as HttpTarget);
  }

  unavailable(): GatewayError {
    const now = this.#context.clock.monotonic();
    const ends = this.#targets.map(({ state }) => state.ejectedUntil - now).filter((ms) => ms > 0);
    const seconds = retryAfterSeconds(ends.length === 0 ? 0 : Math.min(...ends));
    return new GatewayError("UPSTREAM_UNAVAILABLE", { headers: ["retry-after", String(seconds)] });
  }

  /** Finds its targets for the first time. */
  async open(): Promise<void> {
    const { targets, onUnresolved } = this.config;
    if (Array.isArray(targets)) {
      const list = targets.map((target) =>
        typeof target === "string" ? { url: target, weight: 1 } : (target as Found),
      );
      this.#setTargets(list);
      const unresolved = findUnresolved(list.map(({ url }) => url)).then((all) =>
        all.map(({ index, reason }) => ({
          code: "CONFIG_UNRESOLVED",
          message: `The name of this target does not resolve: ${reason}`,
          pointer: `/targets/${index}`,
        })),
      );
      if (onUnresolved === "warn") this.#context.advise(unresolved);
      else {
        const problems = await unresolved;
        if (problems.length > 0) throw new ConfigError(problems);
      }
    } else {
      const source = targets as Exclude<typeof targets, readonly unknown[]>;
      const discovery = this.#lease.keep(keyOf(`discovery ${this.name}`, source), () =>
        createDiscovery(source, { ...this.#context, upstream: this.name }),
      );
      this.#discovery = discovery;
      await discovery.ready;
      if (discovery.found.length === 0) {
        const message = `No targets were found: ${discovery.failure?.message ?? "there are none"}`;
        const problem = { code: "CONFIG_UNRESOLVED", message, pointer: "/targets" };
        if (onUnresolved === "fail") throw new ConfigError([problem]);
        this.#context.advise(Promise.resolve([problem]));
      }
      this.#unsubscribe = discovery.subscribe(() => this.#setTargets(discovery.found));
      this.#setTargets(discovery.found);
    }
    this.states.started();
  }

  /** It serves from now on: what looks after the targets' health goes by its options. */
  activate(): void {
    const { states } = this;
    const { active } = this.#health;
    states.current = this;
    this.#eligibility.forget(); // a panic that it saw before was told by nobody
    if (states.monitor?.key !== active?.key) {
      states.monitor?.close();
      states.monitor = active && createMonitor(active, states, this.#context);
    }
    states.outliers = this.#outliers;
    this.#lookAfter();
  }

  /** How to speak TLS to targets; what is dear in it is made once. */
  tls(): ConnectorTls {
    const tls = { verify: true, ...this.config.tls };
    const { context } = this.#lease.keep(keyOf("tls", tls), () => ({
      context: createTlsContext(tls),
    }));
    return { context, serverName: tls.serverName, verify: tls.verify };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe?.();
    try {
      await this.#members.close();
    } finally {
      await this.#lease.release();
    }
  }

  describe(): object {
    return describeUpstream(this, this.#context.clock.monotonic());
  }

  change(patch: unknown): void {
    changeTarget(this, patch as TargetChange);
  }

  /** Told by what finds out which targets are eligible. */
  onPanic(panic: boolean, healthy: number, targets: number): void {
    // Another generation may see other targets, or another threshold: the one that serves is told of.
    if (this.states.current !== this || panic === this.states.panic) return;
    this.states.panic = panic;
    const fields = { upstream: this.name, healthy, targets };
    if (panic) this.#context.log.error(fields, "too few targets are healthy: all are used");
    else this.#context.log.info(fields, "enough targets are healthy again");
  }

  #setTargets(found: readonly Found[]): void {
    if (this.#closed) return;
    this.#targets = this.#members.set(found);
    this.#eligibility.setTargets(this.#targets);
    if (this.states.current === this) this.#lookAfter();
  }

  /** Has the health of its targets looked after. A verdict that nobody looks after any more is forgotten. */
  #lookAfter(): void {
    const { active, passive } = this.#health;
    const states = this.#targets.map(({ state }) => state);
    if (active === undefined) for (const state of states) state.setHealthy(undefined);
    if (passive === undefined) for (const state of states) state.readmit();
    this.#outliers?.adopt(states);
    this.states.monitor?.update(states);
  }
}

/** A monitor outlives the generation that it is made by: what it needs comes from the one that serves. */
function createMonitor(active: ActiveHealth, states: TargetStates, context: UpstreamContext): HealthMonitor {
  const tls = (): ConnectorTls => states.current!.tls();
  return new HealthMonitor(active, tls, () => context.random());
}
