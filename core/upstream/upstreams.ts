/** The upstreams of a generation: named groups of targets, each with its pool. */
import type { UpstreamConfig } from "../config/checked.ts";
import type { Exchange } from "../exchange.ts";
import type { DurationStats } from "../observe/metrics.ts";
import type { Host, Target, Upstream } from "../plugin.ts";
import type { Reply } from "../reply.ts";
import { parseDuration, parseSize } from "../units.ts";
import { type Destination, forward } from "./forward.ts";
import { Pool, type PoolOptions } from "./pool.ts";

class HttpTarget implements Target, Destination {
  readonly url: string;
  readonly pool: Pool;
  readonly basePath: string;
  readonly host: string;
  readonly #upstream: string;
  readonly #stats: DurationStats;

  constructor(url: URL, pool: Pool, upstream: string, stats: DurationStats) {
    this.url = url.href.replace(/\/$/, "");
    this.pool = pool;
    this.basePath = url.pathname.replace(/\/$/, "");
    this.host = url.host;
    this.#upstream = upstream;
    this.#stats = stats;
  }

  forward(x: Exchange): Promise<Reply> {
    x.upstream = this.#upstream;
    x.targetUrl = this.url;
    return forward(x, this);
  }

  onAnswered(ms: number): void {
    this.#stats.observe(ms);
  }
}

/**
 * Opens an upstream. Pools are kept: an upstream that did not change goes on with its warm connections.
 * @param keep `host.keep` of the generation
 */
export function createUpstream(
  name: string,
  config: UpstreamConfig,
  keep: Host["keep"],
  stats: DurationStats,
): Upstream {
  const targets = config.targets.map((target) => {
    const url = new URL(typeof target === "string" ? target : target.url);
    const options: PoolOptions = {
      origin: url.origin,
      connections: config.connections,
      connectTimeoutMs: parseDuration(config.timeouts.connect),
      headersTimeoutMs: parseDuration(config.timeouts.headers),
      bodyTimeoutMs: parseDuration(config.timeouts.body),
      keepAliveMs: parseDuration(config.keepAlive),
      maxHeaderBytes: parseSize(config.maxHeaderSize),
    };
    const pool = keep(`pool ${name} ${JSON.stringify(options)}`, () => new Pool(options));
    return new HttpTarget(url, pool, name, stats);
  });
  return { name, targets };
}
