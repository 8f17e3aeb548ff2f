/**
 * A generation: everything that serves one state of the configuration. It is built whole or not at all, never
 * changed, and closed when the last request that began on it has ended.
 */
import { type Audit, AuditLog, NO_AUDIT } from "./audit.ts";
import { buildRoute, type Route, stageTimings } from "./build-route.ts";
import type { CheckedConfig } from "./config/checked.ts";
import { Consumers } from "./consumers.ts";
import { ConfigError, GatewayError, type Problem } from "./errors.ts";
import { type Exchange, type Log, NO_ROUTE, type RouteInfo } from "./exchange.ts";
import type { KeepStore, Lease } from "./keep.ts";
import type { GatewayMetrics } from "./observe/metrics.ts";
import { OverloadMonitor, ShedCounts } from "./overload/monitor.ts";
import type { Catalogue, Clock, Exposed, Host, SharedState } from "./plugin.ts";
import { problemReply, type Reply } from "./reply.ts";
import { type OpenStore, Stores } from "./store/stores.ts";
import { createRouter, type Router } from "./router.ts";
import type { Vitals } from "./threads/vitals.ts";
import type { Feeds } from "./upstream/feed.ts";
import type { ScriptName } from "./script/names.ts";
import type { OpenFetch } from "./script/host-fetch.ts";
import type { OpenConnections } from "./upstream/pool.ts";
import { LiveUpstream } from "./upstream/upstream.ts";

/** What generations of one gateway share. */
export interface Surroundings {
  readonly catalogue: Catalogue;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: GatewayMetrics;
  readonly kept: KeepStore;
  readonly shared: SharedState;
  readonly vitals: Vitals;
  /** Instead of sockets, for tests of configurations. */
  readonly openConnections?: OpenConnections;
  /** The same for what scripts ask. */
  readonly openFetch?: OpenFetch;
  readonly openStore: OpenStore;
  /** Has the process replaced that a script keeps a thread of. Undefined where the process is not the gateway's. */
  readonly giveUp?: ((reason: string, script: ScriptName) => void) | undefined;
  /** A number from 0 up to 1. */
  random(): number;
}

/** What operators may look at through the admin listener: by collection, then by id. */
export type ExposedThings = Map<string, Map<string, Exposed>>;

/** What stages of one generation are built in. */
export interface GenerationSurroundings extends Surroundings {
  readonly exposed: ExposedThings;
}

export class Generation {
  readonly number: number;
  readonly config: CheckedConfig;
  readonly #router: Router<Route>;
  readonly #unmatched: RouteInfo;
  readonly #upstreams: readonly LiveUpstream[];
  readonly #overload: OverloadMonitor | undefined;
  readonly #vitals: Vitals;
  readonly #beginners: readonly (() => void)[];
  readonly #close: () => Promise<void>;
  /** What operators may look at. */
  readonly exposed: ExposedThings;
  #active = 0;
  #retired: (() => void) | undefined;
  readonly #closed = Promise.withResolvers<void>();

  constructor(
    number: number,
    config: CheckedConfig,
    router: Router<Route>,
    unmatched: RouteInfo,
    upstreams: readonly LiveUpstream[],
    overload: OverloadMonitor | undefined,
    exposed: ExposedThings,
    vitals: Vitals,
    beginners: readonly (() => void)[],
    close: () => Promise<void>,
  ) {
    this.number = number;
    this.config = config;
    this.#router = router;
    this.#unmatched = unmatched;
    this.#upstreams = upstreams;
    this.#overload = overload;
    this.exposed = exposed;
    this.#vitals = vitals;
    this.#beginners = beginners;
    this.#close = close;
  }

  /** It serves from now on. */
  activate(): void {
    for (const upstream of this.#upstreams) upstream.activate();
    for (const begin of this.#beginners) begin();
  }

  /** See {@link Host.adopt}. */
  adopt(x: Exchange, route: string): boolean {
    const found = this.#router.find(x);
    if (found?.name !== route) return false;
    x.route = found;
    found.rewrite?.(x);
    x.owner = this;
    this.#active++;
    return true;
  }

  /** Requests that began on this generation and have not ended. */
  get active(): number {
    return this.#active;
  }

  /** Finds the route and runs its pipeline. The exchange's end is told by {@link end}. */
  handle(x: Exchange): Reply | Promise<Reply> {
    this.#active++;
    x.owner = this;
    if (this.#overload?.isShut) {
      x.route = this.#unmatched;
      this.#overload.refuse();
    }
    const route = this.#router.find(x);
    if (route === undefined) return this.#notFound(x);
    x.route = route;
    this.#vitals.begin(this.number, route.index);
    if (x.body !== null) {
      if (route.maxBodyBytes !== undefined) x.maxBodyBytes = route.maxBodyBytes;
      if (x.body.length !== undefined && x.body.length > x.maxBodyBytes) {
        throw new GatewayError("BODY_TOO_LARGE");
      }
    }
    return route.handler(x);
  }

  /** A request of this generation has a second exchange, which may outlive it. */
  hold(): void {
    this.#active++;
  }

  /** A request of this generation has ended. */
  end(): void {
    if (--this.#active === 0) this.#retired?.();
  }

  /**
   * Closes the generation once its last request has ended, or after `drainMs`. Its upstreams close when their own
   * requests have ended, however long that takes.
   * @param onOutlived told of how many requests were still under way after `drainMs`, if any were
   * @returns how many requests were still under way then
   */
  async retire(drainMs: number, onOutlived?: (left: number) => void): Promise<number> {
    if (this.#active > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, drainMs);
        timer.unref();
        this.#retired = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    const left = this.#active;
    if (left > 0) onOutlived?.(left);
    try {
      await this.#close();
    } finally {
      this.#closed.resolve();
    }
    return left;
  }

  /** Resolves when it has closed, its upstreams too. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  #notFound(x: Exchange): Reply {
    x.route = this.#unmatched;
    const allowed = this.#router.allowed(x);
    const error =
      allowed.length === 0
        ? new GatewayError("ROUTE_NOT_FOUND")
        : new GatewayError("METHOD_NOT_ALLOWED", { headers: ["allow", allowed.join(", ")] });
    return problemReply(error, x.id);
  }
}

/**
 * Builds a generation.
 * @param feeds what is told of each of its upstreams
 * @throws ConfigError with every problem that building found; what was opened by then is closed again
 */
export async function buildGeneration(
  number: number,
  config: CheckedConfig,
  around: Surroundings,
  feeds: Feeds,
): Promise<Generation> {
  const lease = around.kept.lease();
  const closers: (() => void | Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.reverse()) {
      try {
        await closer();
      } catch (error) {
        around.log.error({ err: error }, "a stage failed to close");
      }
    }
    await lease.release();
  };
  try {
    const upstreams = openUpstreams(config, around, feeds, closers);
    const stores = new Stores(config.stores, around, lease);
    closers.push(() => stores.opened()); // what is being opened could not be closed
    const consumers = new Consumers(config.consumers);
    const exposed: ExposedThings = new Map();
    const problems: Problem[] = [];
    const routes: Route[] = [];
    const audit = openAudit(config, around, lease);
    const beginners: (() => void)[] = [];
    let built: Generation | undefined;
    const hostFor = (route: string, stage: string): Host => ({
      route,
      stage,
      log: around.log.child({ route, stage }),
      clock: around.clock,
      metrics: scopedMetrics(around.metrics, closers),
      upstreams,
      stores,
      consumers,
      audit,
      shared: around.shared,
      random: () => around.random(),
      baseDir: config.baseDir,
      onActivate: (begin) => void beginners.push(begin),
      adopt: (x) => built?.adopt(x, route) ?? false,
      onClose: (closer) => void closers.push(closer),
      keep: (key, create) => lease.keep(`stage ${key}`, create),
      expose: (collection, id, thing) => expose(exposed, collection, id, thing),
    });
    const onTiming = config.log.stageTimings ? stageTimings(around.metrics) : undefined;
    const overload = openOverload(config, around, lease);
    const inside = { ...around, exposed };
    for (const [index, route] of config.routes.entries()) {
      routes.push(await buildRoute(route, index, config, hostFor, inside, overload, onTiming, problems));
    }
    await stores.opened();
    let router: Router<Route> | undefined;
    try {
      router = createRouter(routes);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
    if (router === undefined || problems.length > 0) throw new ConfigError(problems);
    const unmatched: RouteInfo = { ...NO_ROUTE, stats: around.metrics.route("") };
    const opened = [...upstreams.values()];
    built = new Generation(
      number,
      config,
      router,
      unmatched,
      opened,
      overload,
      exposed,
      around.vitals,
      beginners,
      close,
    );
    return built;
  } catch (error) {
    await close();
    throw error;
  }
}

function openUpstreams(
  config: CheckedConfig,
  around: Surroundings,
  feeds: Feeds,
  closers: (() => void | Promise<void>)[],
): Map<string, LiveUpstream> {
  const opened = new Map<string, LiveUpstream>();
  // All at once: one that waits for a long request must not keep the others open.
  closers.push(async () => void (await Promise.all([...opened.values()].map((live) => live.close()))));
  for (const [name, upstream] of Object.entries(config.upstreams)) {
    opened.set(name, new LiveUpstream(name, upstream, feeds.get(name)!, around));
  }
  return opened;
}

/** What takes audit events; the one there is while its options stay. */
function openAudit({ audit }: CheckedConfig, around: Surroundings, lease: Lease): Audit {
  if (audit === undefined) return NO_AUDIT;
  return lease.keep(`audit ${JSON.stringify(audit)}`, () => new AuditLog(audit, around));
}

/** What sheds load, if it is configured; the one there is while its options stay. */
function openOverload(
  { overload }: CheckedConfig,
  around: Surroundings,
  lease: Lease,
): OverloadMonitor | undefined {
  if (overload === undefined) return undefined;
  const counts = lease.keep("overload counts", () => new ShedCounts());
  return lease.keep(
    `overload ${JSON.stringify(overload)}`,
    () => new OverloadMonitor(overload, around, counts),
  );
}

/** The metrics as stages of one generation see them: what they have collected ends with it. */
function scopedMetrics(metrics: GatewayMetrics, closers: (() => void)[]): Host["metrics"] {
  return {
    counter: (...args) => metrics.counter(...args),
    gauge: (...args) => metrics.gauge(...args),
    histogram: (...args) => metrics.histogram(...args),
    collect(...args) {
      const end = metrics.collect(...args);
      closers.push(end);
      return end;
    },
  };
}

function expose(all: ExposedThings, collection: string, id: string, thing: Exposed): () => void {
  let things = all.get(collection);
  if (things === undefined) all.set(collection, (things = new Map()));
  things.set(id, thing);
  return () => {
    if (things.get(id) === thing) things.delete(id);
  };
}
