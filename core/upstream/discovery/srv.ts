/**
 * Targets are what SRV records name (RFC 2782): those of the best priority, each host by its addresses, so that
 * hosts are known that only the same name servers know.
 */
import type { SrvRecord } from "node:dns";
import type { SourceConfig } from "./discovery.ts";
import { type Answer, dnsReason } from "./addresses.ts";
import { NameSource, targetsAt } from "./name-source.ts";
import type { Follower } from "./source.ts";

type SrvConfig = Extract<SourceConfig, { srv: unknown }>;

export class SrvSource extends NameSource {
  readonly #config: SrvConfig;

  constructor(config: SrvConfig) {
    super("srv", config.srv);
    this.#config = config;
  }

  protected async look(follower: Follower): Promise<number | undefined> {
    const records = bestRecords(await this.#records());
    const hosts = [...new Set(records.map(({ name }) => name))];
    const answers = await this.addresses.lookUp(hosts, follower.signal);
    this.#tell(follower, records, new Map(hosts.map((host, i) => [host, answers[i]!])));
    // Node does not tell the TTL of SRV records; that of the hosts' addresses is as good a guess.
    const ttls = answers.flatMap(({ ttlMs }) => ttlMs ?? []);
    return ttls.length === 0 ? undefined : Math.min(...ttls);
  }

  async #records(): Promise<SrvRecord[]> {
    const { name } = this.#config.srv;
    try {
      return await this.resolver.resolveSrv(name);
    } catch (error) {
      throw new Error(`${name}: ${dnsReason(error)}`, { cause: error });
    }
  }

  #tell(follower: Follower, records: readonly Weighed[], answers: ReadonlyMap<string, Answer>): void {
    const targets = records.flatMap(({ name, port, weight }) =>
      targetsAt(answers.get(name)!, this.#config, port, weight),
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
