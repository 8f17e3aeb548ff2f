/**
 * An upstream of one generation on one thread: its targets as they come and go, connections to them, and which of
 * them may be used. The control thread tells which targets there are ({@link Feed}); what is known of them is in
 * memory that all threads see.
 */
import type { UpstreamConfig } from "../config/checked.ts";
import { GatewayError } from "../errors.ts";
import type { Log } from "../exchange.ts";
import type { KeepStore, Lease } from "../keep.ts";
import type { GatewayMetrics } from "../observe/metrics.ts";
import type { Clock, SharedState, Target, Upstream } from "../plugin.ts";
import { retryAfterSeconds } from "../retry-after.ts";
import { Eligibility, eligibilityOptions } from "./eligibility.ts";
import type { Feed } from "./feed.ts";
import { compilePassive } from "./health/compile.ts";
import { OutlierRecord } from "./health/outlier-record.ts";
import { OutlierDetector } from "./health/passive.ts";
import { Members } from "./members.ts";
import type { HttpTarget, TargetGroup } from "./target.ts";
import { connectorTls } from "./tls.ts";
import type { OpenConnections } from "./pool.ts";
import { UpstreamRecord } from "./upstream-record.ts";
import { type RequestWatch, UpstreamView } from "./view.ts";

/** What an upstream needs of its thread. */
export interface UpstreamContext {
  readonly kept: KeepStore;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: GatewayMetrics;
  readonly shared: SharedState;
  /** Instead of sockets, for tests of configurations. */
  readonly openConnections?: OpenConnections | undefined;
}

export class LiveUpstream implements Upstream, TargetGroup {
  readonly name: string;
  readonly stats: TargetGroup["stats"];
  readonly #feed: Feed;
  readonly #clock: Clock;
  readonly #thread: number;
  readonly #lease: Lease;
  readonly #view: UpstreamView;
  readonly #members: Members;
  readonly #eligibility: Eligibility<HttpTarget>;
  readonly #detector: OutlierDetector | undefined;
  readonly #unsubscribe: () => void;
  #targets: readonly HttpTarget[] = [];

  /** @param config checked, also by who opened the feed */
  constructor(name: string, config: UpstreamConfig, feed: Feed, context: UpstreamContext) {
    const { kept, clock, log, metrics, shared, openConnections } = context;
    this.name = name;
    this.stats = metrics.upstream(name);
    this.#feed = feed;
    this.#clock = clock;
    this.#thread = shared.thread;
    this.#lease = kept.lease();
    const record = new UpstreamRecord(feed.shared, shared.thread);
    this.#view = this.#lease.keep(
      `upstream ${name} ${record.serial}`,
      () => new UpstreamView(name, record, log, clock),
    );
    const tls = () => connectorTls(config.tls, this.#lease);
    this.#members = new Members({ config, group: this, view: this.#view, kept, log, openConnections, tls });
    this.#eligibility = new Eligibility(eligibilityOptions(config), record, clock);
    const { passive } = config.health;
    this.#detector = passive && new OutlierDetector(compilePassive(passive, []), clock, record);
    this.#unsubscribe = feed.subscribe(() => this.#follow());
    this.#follow();
  }

  get outliers(): RequestWatch | undefined {
    return this.#view.outliers;
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
    return this.#view.shared.inFlight;
  }

  accepts(target: Target): boolean {
    return this.#eligibility.accepts(target as HttpTarget);
  }

  unavailable(): GatewayError {
    const now = this.#clock.monotonic();
    const ends = this.#targets.map(({ state }) => state.ejectedUntil - now).filter((ms) => ms > 0);
    const seconds = retryAfterSeconds(ends.length === 0 ? 0 : Math.min(...ends));
    return new GatewayError("UPSTREAM_UNAVAILABLE", { headers: ["retry-after", String(seconds)] });
  }

  /** It serves from now on: requests are judged by its options, also those of older generations. */
  activate(): void {
    this.#view.current = this;
    this.#view.outliers = this.#detector;
    this.#watch();
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    try {
      await this.#members.close();
    } finally {
      await this.#lease.release();
    }
  }

  #follow(): void {
    this.#targets = this.#members.set(this.#feed.targets);
    this.#eligibility.setTargets(this.#targets);
    if (this.#view.current === this) this.#watch();
  }

  /** Watches the requests to its targets, from what is known of them on. */
  #watch(): void {
    const { targets: fed } = this.#feed;
    for (const [i, { state }] of this.#targets.entries()) {
      const memory = fed[i]!.outlier;
      state.outlier = memory && new OutlierRecord(memory, this.#thread);
    }
    this.#detector?.setTargets(this.#targets.map(({ state }) => state));
  }
}
