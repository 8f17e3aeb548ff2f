/**
 * An upstream of one generation: its targets as they come and go, and which of them may be used. What is known of
 * a target outlives the generation ({@link TargetStates}); so do connections and discoveries that did not change.
 */
import type { UpstreamConfig } from "../config/checked.ts";
import { ConfigError, GatewayError, type Problem } from "../errors.ts";
import type { Log } from "../exchange.ts";
import type { KeepStore, Lease } from "../keep.ts";
import type { GatewayMetrics } from "../observe/metrics.ts";
import type { Clock, Exposed, Target, Upstream } from "../plugin.ts";
import { parseDuration, parsePercent, parseSize } from "../units.ts";
import { changeTarget, describeUpstream, type TargetChange } from "./admin.ts";
import type { ConnectorTls } from "./connector.ts";
import { createDiscovery, type Discovery, findUnresolved, type Found } from "./discovery/discovery.ts";
import { type ActiveHealth, HealthMonitor } from "./health/active.ts";
import { compileHealth, type Health } from "./health/compile.ts";
import { OutlierDetector } from "./health/passive.ts";
import { Pool } from "./pool.ts";
import { HttpTarget, type TargetGroup } from "./target.ts";
import { type RequestWatch, TargetStates } from "./target-state.ts";
import { normalizeTarget, parseTarget } from "./target-url.ts";
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

/** Steps in which a target that warms up gets its share. */
const WARM_STEPS = 20;

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

/** A target with what was opened for it. */
interface Member {
  readonly target: HttpTarget;
  readonly lease: Lease;
}

export class LiveUpstream implements Upstream, TargetGroup, Exposed {
  readonly name: string;
  readonly stats: TargetGroup["stats"];
  readonly config: UpstreamConfig;
  readonly states: TargetStates;
  readonly #health: Health;
  readonly #outliers: OutlierDetector | undefined;
  readonly #context: UpstreamContext;
  readonly #lease: Lease;
  readonly #slowStartMs: number;
  readonly #panicShare: number;
  #discovery: Discovery | undefined;
  #unsubscribe: (() => void) | undefined;
  #members: readonly Member[] = [];
  #targets: readonly HttpTarget[] = [];
  #eligible: readonly HttpTarget[] = [];
  #version = 0;
  /** Version of the states that `eligible` was made from, and when time alone makes it old. */
  #seen = -1;
  #changesAt = Number.POSITIVE_INFINITY;
  #panic = false;
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
    this.#slowStartMs = parseDuration(config.slowStart);
    this.#panicShare = parsePercent(config.panicThreshold);
    this.#outliers = health.passive && new OutlierDetector(health.passive, context.clock);
  }

  get outliers(): RequestWatch | undefined {
    return this.states.outliers;
  }

  get targets(): readonly HttpTarget[] {
    return this.#targets;
  }

  get eligible(): readonly HttpTarget[] {
    this.#look();
    return this.#eligible;
  }

  get version(): number {
    this.#look();
    return this.#version;
  }

  /** True while so few targets are healthy that all are used. */
  get panic(): boolean {
    this.#look();
    return this.#panic;
  }

  get inFlight(): number {
    return this.states.inFlight;
  }

  /** The discovery that its targets come from, if they are not listed. */
  get discovery(): Discovery | undefined {
    return this.#discovery;
  }

  accepts(target: Target): boolean {
    const { state } = target as HttpTarget;
    this.#look();
    if (state.adminState === "disabled") return false;
    return this.#panic || state.isHealthy(this.#context.clock.monotonic());
  }

  unavailable(): GatewayError {
    const now = this.#context.clock.monotonic();
    const ends = this.#targets.map(({ state }) => state.ejectedUntil - now).filter((ms) => ms > 0);
    const seconds = ends.length === 0 ? 1 : Math.ceil(Math.min(...ends) / 1000);
    return new GatewayError("UPSTREAM_UNAVAILABLE", { headers: ["retry-after", String(seconds)] });
  }

  /** Finds its targets for the first time. */
  async open(): Promise<void> {
    const { targets, onUnresolved } = this.config;
    const { log, kept: _, ...context } = this.#context;
    if (Array.isArray(targets)) {
      const list = targets.map((target) =>
        typeof target === "string" ? { url: target, weight: 1 } : (target as Found),
      );
      this.#setMembers(list);
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
      const discovery = this.#lease.keep(`discovery ${this.name} ${JSON.stringify(source)}`, () =>
        createDiscovery(source, { ...context, log, upstream: this.name }),
      );
      this.#discovery = discovery;
      await discovery.ready;
      if (discovery.found.length === 0) {
        const message = `No targets were found: ${discovery.failure?.message ?? "there are none"}`;
        const problem = { code: "CONFIG_UNRESOLVED", message, pointer: "/targets" };
        if (onUnresolved === "fail") throw new ConfigError([problem]);
        this.#context.advise(Promise.resolve([problem]));
      }
      this.#unsubscribe = discovery.subscribe(() => this.#setMembers(discovery.found));
      this.#setMembers(discovery.found);
    }
    this.states.started();
  }

  /** It serves from now on: what looks after the targets' health goes by its options. */
  activate(): void {
    const { states } = this;
    const { active, passive } = this.#health;
    states.current = this;
    this.#seen = -1; // what it saw before was told by nobody
    if (states.monitor?.key !== active?.key) {
      states.monitor?.close();
      states.monitor = active && createMonitor(active, states, this.#context);
    }
    if (active === undefined) for (const { state } of this.#targets) state.setHealthy(undefined);
    if (passive === undefined) for (const { state } of this.#targets) state.readmit();
    states.outliers = this.#outliers;
    this.#lookAfter();
  }

  /** How to speak TLS to targets; what is dear in it is made once. */
  tls(): ConnectorTls {
    const tls = { verify: true, ...this.config.tls };
    const { context } = this.#lease.keep(`tls ${JSON.stringify(tls)}`, () => ({
      context: createTlsContext(tls),
    }));
    return { context, serverName: tls.serverName, verify: tls.verify };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe?.();
    const members = this.#members;
    this.#members = [];
    await Promise.all(members.map((member) => this.#release(member)));
    await this.#lease.release();
  }

  describe(): object {
    return describeUpstream(this, this.#context.clock.monotonic());
  }

  change(patch: unknown): void {
    changeTarget(this, patch as TargetChange);
  }

  /** Makes these the targets: keeps those that stay, opens and closes the others. */
  #setMembers(found: readonly Found[]): void {
    if (this.#closed) return;
    const old = new Map(this.#members.map((member) => [member.target.url, member]));
    const members: Member[] = [];
    const urls = new Set<string>();
    for (const { url, weight } of found) {
      const normal = normalizeTarget(url);
      if (urls.has(normal)) continue; // the configuration has none twice, but sources may
      urls.add(normal);
      const existing = old.get(normal);
      old.delete(normal);
      if (existing !== undefined) existing.target.baseWeight = weight;
      members.push(existing ?? this.#openMember(normal, weight));
    }
    this.#members = members;
    this.#targets = members.map(({ target }) => target);
    for (const member of old.values()) {
      void this.#release(member).catch((error: unknown) =>
        this.#context.log.error({ err: error, upstream: this.name }, "a target failed to close"),
      );
    }
    this.states.changed();
    if (this.states.current === this) this.#lookAfter();
  }

  /** Has the health of its targets looked after. */
  #lookAfter(): void {
    const states = this.#targets.map(({ state }) => state);
    this.#outliers?.adopt(states);
    this.states.monitor?.update(states);
  }

  #openMember(url: string, weight: number): Member {
    const { config } = this;
    const address = parseTarget(url);
    const tls = address.origin.startsWith("https:") ? this.tls() : undefined;
    const options = {
      origin: address.origin,
      socketPath: address.socketPath,
      connections: config.connections,
      connectTimeoutMs: parseDuration(config.timeouts.connect),
      headersTimeoutMs: parseDuration(config.timeouts.headers),
      bodyTimeoutMs: parseDuration(config.timeouts.body),
      keepAliveMs: parseDuration(config.keepAlive),
      maxHeaderBytes: parseSize(config.maxHeaderSize),
    };
    const lease = this.#context.kept.lease();
    const key = `pool ${this.name} ${JSON.stringify([options, tls && (config.tls ?? {})])}`;
    const pool = lease.keep(key, () => new Pool({ ...options, tls }));
    return { target: new HttpTarget(address, pool, this.states.acquire(url), weight, this), lease };
  }

  /** Lets requests under way end; until then the target's state is known. */
  async #release({ target, lease }: Member): Promise<void> {
    try {
      await lease.release();
    } finally {
      this.states.release(target.state);
    }
  }

  /** Finds out again which targets are eligible, if something changed or time passed. */
  #look(): void {
    const { states } = this;
    if (
      states.version === this.#seen &&
      (this.#changesAt === Number.POSITIVE_INFINITY || this.#context.clock.monotonic() < this.#changesAt)
    ) {
      return;
    }
    const now = this.#context.clock.monotonic();
    this.#changesAt = Number.POSITIVE_INFINITY;
    let healthy = 0;
    let allowed = 0;
    for (const target of this.#targets) {
      const isHealthy = this.#update(target, now);
      if (!isOffered(target)) continue;
      allowed++;
      if (isHealthy) healthy++;
    }
    const panic = allowed > 0 && healthy / allowed < this.#panicShare;
    this.#setPanic(panic, healthy, allowed);
    this.#eligible = this.#targets.filter(
      (target) => isOffered(target) && (panic || target.state.isHealthy(now)),
    );
    this.#seen = states.version;
    this.#version++;
  }

  /** Brings a target's weight and ejection up to date. True when it is healthy. */
  #update(target: HttpTarget, now: number): boolean {
    const { state } = target;
    if (state.ejectedUntil !== 0 && state.ejectedUntil <= now) state.readmit();
    const isHealthy = state.isHealthy(now);
    const isUsable = isHealthy && state.adminState === "active";
    if (isUsable && !state.wasUsable) state.warmFrom = now;
    if (!isUsable) state.warmFrom = undefined;
    state.wasUsable = isUsable;
    if (state.ejectedUntil > now) this.#changesAt = Math.min(this.#changesAt, state.ejectedUntil);
    target.weight = (state.weight ?? target.baseWeight) * this.#warmth(state.warmFrom, now);
    return isHealthy;
  }

  /** The share of its weight that a target gets while it warms up, in steps. */
  #warmth(warmFrom: number | undefined, now: number): number {
    if (warmFrom === undefined || this.#slowStartMs === 0) return 1;
    const step = Math.floor(((now - warmFrom) / this.#slowStartMs) * WARM_STEPS);
    if (step >= WARM_STEPS) return 1;
    const nextAt = warmFrom + ((step + 1) * this.#slowStartMs) / WARM_STEPS;
    this.#changesAt = Math.min(this.#changesAt, nextAt);
    return (step + 1) / (WARM_STEPS + 1);
  }

  #setPanic(panic: boolean, healthy: number, targets: number): void {
    this.#panic = panic;
    // Another generation may see other targets, or another threshold: the one that serves is told of.
    if (this.states.current !== this || panic === this.states.panic) return;
    this.states.panic = panic;
    const fields = { upstream: this.name, healthy, targets };
    if (panic) this.#context.log.error(fields, "too few targets are healthy: all are used");
    else this.#context.log.info(fields, "enough targets are healthy again");
  }
}

/** A monitor outlives the generation that it is made by: what it needs comes from the one that serves. */
function createMonitor(active: ActiveHealth, states: TargetStates, context: UpstreamContext): HealthMonitor {
  const tls = (): ConnectorTls => (states.current as LiveUpstream).tls();
  return new HealthMonitor(active, tls, () => context.random());
}

/** True when neither the configuration nor an operator takes a target out. */
function isOffered({ state, weight }: HttpTarget): boolean {
  return state.adminState === "active" && weight > 0;
}
