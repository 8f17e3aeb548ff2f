/** The targets of an upstream of one generation, with the connections that were opened for them. */
import type { UpstreamConfig } from "../config/checked.ts";
import type { Log } from "../exchange.ts";
import { keyOf, type KeepStore, type Lease } from "../keep.ts";
import { parseDuration, parseSize } from "../units.ts";
import type { ConnectorTls } from "./connector.ts";
import type { FedTarget } from "./feed.ts";
import { type OpenConnections, Pool } from "./pool.ts";
import { HttpTarget, type TargetGroup } from "./target.ts";
import { serialOf } from "./target-record.ts";
import { parseTarget } from "./target-url.ts";
import type { UpstreamView } from "./view.ts";

/** What members need of their upstream. */
export interface MembersContext {
  readonly config: UpstreamConfig;
  readonly group: TargetGroup;
  readonly view: UpstreamView;
  readonly kept: KeepStore;
  readonly log: Log;
  readonly openConnections: OpenConnections | undefined;
  /** How to speak TLS to targets. */
  tls(): ConnectorTls;
}

/** A target with what was opened for it. */
interface Member {
  readonly target: HttpTarget;
  readonly lease: Lease;
}

export class Members {
  readonly #context: MembersContext;
  #all: readonly Member[] = [];

  constructor(context: MembersContext) {
    this.#context = context;
  }

  /** Makes these the targets: keeps those that stay, opens and closes the others. Gives the targets. */
  set(fed: readonly FedTarget[]): readonly HttpTarget[] {
    const old = new Map(this.#all.map((member) => [member.target.url, member]));
    const members: Member[] = [];
    for (const each of fed) {
      const existing = old.get(each.url);
      if (existing?.target.state.serial === serialOf(each.record)) {
        old.delete(each.url);
        existing.target.baseWeight = each.weight;
        members.push(existing);
      } else members.push(this.#open(each));
    }
    this.#all = members;
    const { log, group } = this.#context;
    for (const member of old.values()) {
      void this.#release(member).catch((error: unknown) =>
        log.error({ err: error, upstream: group.name }, "a target failed to close"),
      );
    }
    return members.map(({ target }) => target);
  }

  /** Lets requests under way end and closes all connections that no other generation uses. */
  async close(): Promise<void> {
    const members = this.#all;
    this.#all = [];
    await Promise.all(members.map((member) => this.#release(member)));
  }

  #open(fed: FedTarget): Member {
    const { config, group, view, kept, openConnections } = this.#context;
    const address = parseTarget(fed.url);
    const tls =
      openConnections === undefined && address.origin.startsWith("https:") ? this.#context.tls() : undefined;
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
    const lease = kept.lease();
    const key = keyOf(`pool ${group.name} ${address.origin}`, [options, tls && (config.tls ?? {})]);
    const pool = lease.keep(
      key,
      () => openConnections?.(group.name, { ...options, tls }) ?? new Pool({ ...options, tls }),
    );
    return { target: new HttpTarget(address, pool, view.acquire(fed), fed.weight, group), lease };
  }

  /** Lets requests under way end; until then the target's state is known. */
  async #release({ target, lease }: Member): Promise<void> {
    try {
      await lease.release();
    } finally {
      this.#context.view.release(target.state);
    }
  }
}
