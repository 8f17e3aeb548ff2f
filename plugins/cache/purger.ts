/** Purges a cache: on all threads of this gateway, and of all gateways that have its store. */
import { randomUUID } from "node:crypto";
import { ConfigError, type Host } from "../../core/plugin.ts";
import type { CacheCounts } from "./counts.ts";
import type { KeptCache } from "./kept.ts";
import type { Keys } from "./key.ts";
import type { Purge } from "./level.ts";
import type { PurgeLog } from "./store/purge-log.ts";
import { scopeOf } from "./store/store-keys.ts";
import type { ThreadPurges } from "./thread-purges.ts";

export class Purger {
  readonly #keys: Keys;
  readonly #threads: ThreadPurges;
  readonly #counts: CacheCounts;
  /** Of the store, if there is one. */
  readonly #log: PurgeLog | undefined;
  readonly #scope: string;
  /** The thread that counts what all are told. */
  readonly #isFirst: boolean;

  constructor(parts: {
    kept: Pick<KeptCache, "threadPurges" | "counts">;
    keys: Keys;
    log: PurgeLog | undefined;
    host: Pick<Host, "route" | "stage" | "shared">;
  }) {
    const { kept, keys, log, host } = parts;
    this.#keys = keys;
    this.#threads = kept.threadPurges;
    this.#counts = kept.counts;
    this.#log = log;
    this.#scope = scopeOf(host.route, host.stage);
    this.#isFirst = host.shared.thread === 0;
  }

  /**
   * Does a purge that all threads are told to do. Holds here when it resolves.
   * @param id the same on all threads
   * @returns false when other gateways will hear of it only once the store is back
   * @throws ConfigError when a URL is none
   */
  async purge(purge: Purge, id: string): Promise<boolean> {
    const exact = this.#toExact(purge, undefined);
    if (this.#isFirst) this.#counts.purges[exact.kind]++;
    if (this.#log !== undefined) return this.#log.append(exact, this.#scope, id);
    this.#threads.apply(exact, id);
    return true;
  }

  /**
   * Does a purge that this thread alone knows of. Holds here when it resolves, elsewhere a moment later.
   * @param base what a URL is relative to
   */
  async spread(purge: Purge, base: string): Promise<void> {
    const exact = this.#toExact(purge, base);
    this.#counts.purges[exact.kind]++;
    if (this.#log === undefined) return this.#threads.spread(exact);
    if (!(await this.#log.append(exact, this.#scope, randomUUID()))) this.#threads.warn(exact);
  }

  #toExact(purge: Purge, base: string | undefined): Purge {
    const { kind, value } = purge;
    if (kind !== "url" && kind !== "prefix") return purge;
    return { ...purge, value: toAddress(value, this.#keys, base, `/${kind}`) };
  }
}

/**
 * What a URL is in entries.
 * @param base what it is relative to, if it may be
 * @param pointer to it in what was sent
 * @throws ConfigError when it is none
 */
export function toAddress(text: string, keys: Keys, base: string | undefined, pointer: string): string {
  // Without hosts in keys a path says it all.
  const url = URL.parse(text, keys.tellsHosts ? base : (base ?? "http://any"));
  if (url === null || !/^https?:$/.test(url.protocol)) {
    const expected = keys.tellsHosts ? "a URL such as https://example.com/a" : "a URL, or a path such as /a";
    throw new ConfigError(`It must be ${expected}`, pointer, "CONFIG_VALUE");
  }
  return keys.addressOf(url.host, url.protocol.slice(0, -1), url.pathname, url.search);
}
