/**
 * Targets are the addresses of a name: A and AAAA records, looked up again when they end. A name that is gone, or
 * that has no addresses, is a failure and not an answer: that is what a broken zone or resolver looks like.
 */
import type { SourceConfig } from "./discovery.ts";
import { NameSource, targetsAt } from "./name-source.ts";
import type { Follower } from "./source.ts";

type DnsConfig = Extract<SourceConfig, { dns: unknown }>;

export class DnsSource extends NameSource {
  readonly #config: DnsConfig;

  constructor(config: DnsConfig) {
    super("dns", config.dns);
    this.#config = config;
  }

  protected async look(follower: Follower): Promise<number | undefined> {
    const { host, port } = this.#config.dns;
    const [answer] = await this.addresses.lookUp([host], follower.signal);
    const { ttlMs, failure } = answer!;
    const targets = targetsAt(answer!, this.#config, port, 1);
    if (failure === undefined) follower.tell(targets);
    else if (ttlMs === undefined) throw failure;
    else follower.failed(failure, targets);
    return ttlMs;
  }
}
