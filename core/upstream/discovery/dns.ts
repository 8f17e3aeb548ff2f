/**
 * Targets are the addresses of a name: A and AAAA records, looked up again when they end. A name that is gone, or
 * that has no addresses, is a failure and not an answer: that is what a broken zone or resolver looks like.
 */
import type { SourceConfig } from "./discovery.ts";
import { Addresses, createResolver } from "./addresses.ts";
import { pause } from "./pause.ts";
import { type Follower, type Found, type Source, targetUrl } from "./source.ts";
import { TtlLimits } from "./ttl-limits.ts";

type DnsConfig = Extract<SourceConfig, { dns: unknown }>;

export class DnsSource implements Source {
  readonly kind = "dns";
  readonly #config: DnsConfig;
  readonly #resolver: ReturnType<typeof createResolver>;
  readonly #addresses: Addresses;
  readonly #limits: TtlLimits;

  constructor(config: DnsConfig) {
    const { servers, family } = config.dns;
    this.#config = config;
    this.#limits = new TtlLimits(config.dns, "/targets/dns");
    this.#resolver = createResolver(servers, "/targets/dns/servers");
    this.#addresses = new Addresses(this.#resolver, family, servers.length === 0);
  }

  async follow(follower: Follower): Promise<void> {
    const { host, port } = this.#config.dns;
    const { signal } = follower;
    const cancel = (): void => this.#resolver.cancel();
    signal.addEventListener("abort", cancel);
    try {
      while (!signal.aborted) {
        const [answer] = await this.#addresses.lookUp([host], signal);
        const { addresses, ttlMs, failure } = answer!;
        const targets = addresses.flatMap((address): Found[] => {
          const url = targetUrl(this.#config, address, port);
          return url === undefined ? [] : [{ url, weight: 1 }];
        });
        if (failure === undefined) follower.tell(targets);
        else if (ttlMs === undefined) throw failure;
        else follower.failed(failure, targets);
        await pause(this.#limits.clamp(ttlMs), signal);
      }
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }
}
