/** Follows a discovery in a test: what it found, what it logged and counted. */
import { systemClock } from "../../core/clock.ts";
import { createValidator } from "../../core/config/validate.ts";
import { upstreamSchema } from "../../core/config/upstream-schema.ts";
import {
  createDiscovery,
  type Discovery,
  type DiscoveryContext,
  type SourceConfig,
} from "../../core/upstream/discovery/discovery.ts";
import { LiveDiscovery } from "../../core/upstream/discovery/live-discovery.ts";
import type { Source } from "../../core/upstream/discovery/source.ts";
import { FakeHost, FakeLog } from "./harness.ts";

/** Targets of an upstream, checked and complete. */
export function sourceConfig<C extends SourceConfig = SourceConfig>(targets: object): C {
  const upstream = { targets: structuredClone(targets) };
  const errors = createValidator(upstreamSchema)(upstream);
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  return upstream.targets as C;
}

export class FollowedDiscovery {
  readonly host = new FakeHost();
  readonly log = new FakeLog();
  readonly discovery: Discovery;
  /** How often listeners were told. */
  changes = 0;

  /** @param source made with the context, or the targets of an upstream */
  constructor(source: ((context: DiscoveryContext) => Source) | object, baseDir = process.cwd()) {
    const { host, log } = this;
    const context: DiscoveryContext = {
      upstream: "users",
      baseDir,
      log,
      clock: systemClock,
      metrics: host.metrics,
      random: () => host.random(),
    };
    this.discovery =
      typeof source === "function"
        ? new LiveDiscovery(source(context), context)
        : createDiscovery(sourceConfig(source), context);
    this.discovery.subscribe(() => void this.changes++);
  }

  /** URLs that were found. */
  get urls(): string[] {
    return this.discovery.found.map(({ url }) => url);
  }

  /** What was found, by URL. */
  get weights(): Record<string, number> {
    return Object.fromEntries(this.discovery.found.map(({ url, weight }) => [url, weight]));
  }

  /** Warnings so far. */
  get warnings(): { fields: Record<string, unknown>; message: string }[] {
    return this.log.lines.filter(({ level }) => level === "warn") as never;
  }

  /** Updates counted, by result. */
  count(source: string, result: string): number {
    const labels = JSON.stringify({ upstream: "users", source, result });
    return this.host.counts.get(`sluice_discovery_updates_total${labels}`) ?? 0;
  }

  /** Value of the gauge that says whether the set may be old. */
  get stale(): number | undefined {
    return this.host.collected("sluice_discovery_stale")['{"upstream":"users"}'];
  }

  /** Resolves when `test` holds; looked at in every turn of the event loop. */
  async until(test: () => boolean): Promise<void> {
    while (!test()) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Resolves when these are the targets. */
  async found(...urls: string[]): Promise<void> {
    const wanted = JSON.stringify(urls.toSorted());
    await this.until(() => JSON.stringify(this.urls) === wanted);
  }

  /** Resolves when the source fails; gives why. */
  async failed(): Promise<string> {
    await this.until(() => this.discovery.failure !== undefined);
    return this.discovery.failure!.message;
  }

  /** Resolves when the source answers again. */
  recovered(): Promise<void> {
    return this.until(() => this.discovery.failure === undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.discovery.close();
  }
}
