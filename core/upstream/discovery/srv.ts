/**
 * Targets are what SRV records name (RFC 2782): those of the best priority, each host by its addresses, so that
 * hosts are known that only the same name servers know.
 */
import type { SrvRecord } from "node:dns";
import type { SourceConfig } from "./discovery.ts";
import { Addresses, type Answer, createResolver, dnsReason } from "./addresses.ts";
import { pause } from "./pause.ts";
import { type Follower, type Found, type Source, targetUrl } from "./source.ts";
import { TtlLimits } from "./ttl-limits.ts";

type SrvConfig = Extract<SourceConfig, { srv: unknown }>;

export class SrvSource implements Source {
  readonly kind = "srv";
  readonly #config: SrvConfig;
  readonly #resolver: ReturnType<typeof createResolver>;
  readonly #addresses: Addresses;
  readonly #limits: TtlLimits;

  constructor(config: SrvConfig) {
    const { servers, family } = config.srv;
    this.#config = config;
    this.#limits = new TtlLimits(config.srv, "/targets/srv");
    this.#resolver = createResolver(servers, "/targets/srv/servers");
    this.#addresses = new Addresses(this.#resolver, family, servers.length === 0);
  }

  async follow(follower: Follower): Promise<void> {
    const { signal } = follower;
    const cancel = (): void => this.#resolver.cancel();
    signal.addEventListener("abort", cancel);
    try {
      while (!signal.aborted) {
        const records = bestRecords(await this.#records());
        const hosts = [...new Set(records.map(({ name }) => name))];
        const answers = await this.#addresses.lookUp(hosts, signal);
        this.#tell(follower, records, new Map(hosts.map((host, i) => [host, answers[i]!])));
        // Node does not tell the TTL of SRV records; that of the hosts' addresses is as good a guess.
        const ttls = answers.flatMap(({ ttlMs }) => ttlMs ?? []);
        await pause(this.#limits.clamp(ttls.length === 0 ? undefined : Math.min(...ttls)), signal);
      }
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  async #records(): Promise<SrvRecord[]> {
    const { name } = this.#config.srv;
    try {
      return await this.#resolver.resolveSrv(name);
    } catch (error) {
      throw new Error(`${name}: ${dnsReason(error)}`, { cause: error });
    }
  }

  #tell(follower: Follower, records: readonly Weighed[], answers: ReadonlyMap<string, Answer>): void {
    const targets = records.flatMap(({ name, port, weight }) =>
      answers.get(name)!.addresses.flatMap((address): Found[] => {
        const url = targetUrl(this.#config, address, port);
        return url === undefined ? [] : [{ url, weight }];
      }),
    );
    const failures = [...answers.values()].flatMap(({ failure }) => failure ?? []);
    if (failures.length === 0) follower.tell(targets);
    else if (failures.length === answers.size) throw failures[0]!;
    else follower.failed(failures[0]!, targets);
  }
}

/** An SRV record whose weight is a target's. */
type Weighed = Pick<SrvRecord, "name" | "port" | "weight">;

/**
 * The records to use: those of the best priority. A weight of zero is a small chance where others have more, and an
 * equal one where all are zero. The host `.` says that there is no such service (RFC 2782).
 */
export function bestRecords(records: readonly SrvRecord[]): Weighed[] {
  const best = Math.min(...records.map(({ priority }) => priority));
  const used = records.filter(({ priority, name }) => priority === best && name !== "" && name !== ".");
  const hasZero = used.some(({ weight }) => weight === 0);
  const hasMore = used.some(({ weight }) => weight > 0);
  return used.map(({ name, port, weight }) => ({
    name,
    port,
    weight: hasZero && hasMore ? Math.max(1, weight * 10) : Math.max(1, weight),
  }));
}
