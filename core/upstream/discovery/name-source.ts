/** What sources that look names up have in common: their resolver, and when they look again. */
import { Addresses, type Answer, createResolver } from "./addresses.ts";
import { pause } from "../../pause.ts";
import {
  type Family,
  type Follower,
  type Found,
  type FoundOptions,
  type Source,
  targetUrl,
} from "./source.ts";
import { TtlLimits } from "./ttl-limits.ts";

export interface NameOptions {
  readonly servers: readonly string[];
  readonly family: Family;
  readonly minTtl: string;
  readonly maxTtl: string;
}

export abstract class NameSource implements Source {
  readonly kind: string;
  protected readonly resolver: ReturnType<typeof createResolver>;
  protected readonly addresses: Addresses;
  readonly #limits: TtlLimits;

  /**
   * @param kind the source's key in the configuration
   * @throws ConfigError with pointers relative to the upstream
   */
  constructor(kind: string, options: NameOptions) {
    const { servers, family } = options;
    this.kind = kind;
    this.#limits = new TtlLimits(options, `/targets/${kind}`);
    this.resolver = createResolver(servers, `/targets/${kind}/servers`);
    this.addresses = new Addresses(this.resolver, family, servers.length === 0);
  }

  async follow(follower: Follower): Promise<void> {
    const { signal } = follower;
    const cancel = (): void => this.resolver.cancel();
    signal.addEventListener("abort", cancel);
    try {
      while (!signal.aborted) {
        const ttlMs = await this.look(follower);
        await pause(this.#limits.clamp(ttlMs), signal);
      }
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  /** Looks once, and tells what was found. Gives the TTL, if one is known. */
  protected abstract look(follower: Follower): Promise<number | undefined>;
}

/** A target at each address of a name. */
export function targetsAt(
  { addresses }: Answer,
  options: FoundOptions,
  port: number | undefined,
  weight: number,
): Found[] {
  return addresses.flatMap((address) => {
    const url = targetUrl(options, address, port);
    return url === undefined ? [] : [{ url, weight }];
  });
}
