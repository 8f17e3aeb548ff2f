/** Looks names up in the DNS, and remembers what was known of those that fail. */
import { lookup, Resolver } from "node:dns/promises";
import { isIP } from "node:net";
import { ConfigError } from "../../errors.ts";
import { unlessAborted } from "../../pause.ts";
import type { Family } from "./source.ts";

/** A name server that does not answer is asked twice; together this takes about six seconds at most. */
const ATTEMPTS = { timeout: 1500, tries: 2 };

const REASONS: Record<string, string> = {
  ENOTFOUND: "the name does not exist",
  ENODATA: "the name has no such records",
  ETIMEOUT: "the name server does not answer",
  ESERVFAIL: "the name server failed",
  EREFUSED: "the name server refused",
  ECONNREFUSED: "no name server can be reached",
  EAI_AGAIN: "no name server answers",
  EBADNAME: "this is not a name",
  EBADRESP: "the name server's answer is not valid",
};

/** Says that there is nothing, which is an answer. */
const KNOWN_EMPTY = new Set(["ENOTFOUND", "ENODATA"]);

/** The system's own ways, such as its hosts file, are worth a try: the name server has said no, or there is none. */
const WORTH_LOOKUP = new Set(["ENOTFOUND", "ENODATA", "ECONNREFUSED", "EREFUSED", "ESERVFAIL"]);

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "";

/** Why a name does not resolve, for people. */
export function dnsReason(error: unknown): string {
  const code = codeOf(error);
  const reason = REASONS[code];
  return reason === undefined ? code || (error as Error).message : `${reason} (${code})`;
}

/**
 * A resolver of its own.
 * @throws ConfigError with a pointer to the server that is not an address
 */
export function createResolver(servers: readonly string[], pointer: string): Resolver {
  const resolver = new Resolver(ATTEMPTS);
  for (const [i, server] of servers.entries()) {
    try {
      resolver.setServers([server]);
    } catch {
      throw new ConfigError(
        "A name server is an IP address, with its port if it is not 53, such as 127.0.0.1:8600",
        `${pointer}/${i}`,
      );
    }
  }
  if (servers.length > 0) resolver.setServers(servers);
  return resolver;
}

/** What is known of a name. */
export interface Answer {
  readonly addresses: readonly string[];
  /** When the first of the records ends; undefined where nobody tells. */
  readonly ttlMs: number | undefined;
  /** Why not all addresses are fresh. */
  readonly failure?: Error;
}

/** What is known of a name and one family of addresses. */
interface Known {
  readonly addresses: readonly string[];
  readonly ttlMs: number | undefined;
  readonly error: unknown;
}

export class Addresses {
  readonly #resolver: Resolver;
  readonly #versions: readonly (4 | 6)[];
  readonly #usesSystem: boolean;
  /** The last good addresses of the names of the last round, by name and version. */
  #known = new Map<string, readonly string[]>();

  /** @param usesSystem whether names that the resolver does not know are looked up as the system does */
  constructor(resolver: Resolver, family: Family, usesSystem: boolean) {
    this.#resolver = resolver;
    this.#versions = family === "any" ? [4, 6] : family === "ipv4" ? [4] : [6];
    this.#usesSystem = usesSystem;
  }

  /** Looks names up: what there is to say of each, in order. Forgets all others. */
  async lookUp(hosts: readonly string[], signal: AbortSignal): Promise<Answer[]> {
    const known = new Map<string, readonly string[]>();
    const answers = await Promise.all(hosts.map((host) => this.#lookUp(host, known, signal)));
    this.#known = known;
    return answers;
  }

  async #lookUp(host: string, known: Map<string, readonly string[]>, signal: AbortSignal): Promise<Answer> {
    const results = await Promise.all(this.#versions.map((version) => this.#resolve(host, version)));
    if (results.every(({ addresses }) => addresses.length === 0)) {
      const { error } = results.find((result) => !KNOWN_EMPTY.has(codeOf(result.error))) ?? results[0]!;
      return this.#fallBack(host, error, known, signal);
    }
    let failure: Error | undefined;
    const addresses: string[] = [];
    const ttls: number[] = [];
    for (const [i, { addresses: fresh, ttlMs, error }] of results.entries()) {
      const key = `${this.#versions[i]} ${host}`;
      const isAnswer = error === undefined || KNOWN_EMPTY.has(codeOf(error));
      const usable = isAnswer ? fresh : (this.#known.get(key) ?? []);
      // A name server that never answers one family is common, and no news where it never did.
      if (!isAnswer && usable.length > 0) failure = new Error(`${host}: ${dnsReason(error)}`);
      known.set(key, usable);
      addresses.push(...usable);
      if (ttlMs !== undefined) ttls.push(ttlMs);
    }
    const ttlMs = ttls.length === 0 ? undefined : Math.min(...ttls);
    return { addresses, ttlMs, ...(failure && { failure }) };
  }

  async #resolve(host: string, version: 4 | 6): Promise<Known> {
    if (isIP(host) !== 0) {
      return { addresses: isIP(host) === version ? [host] : [], ttlMs: undefined, error: undefined };
    }
    try {
      const options = { ttl: true } as const;
      const records =
        version === 4
          ? await this.#resolver.resolve4(host, options)
          : await this.#resolver.resolve6(host, options);
      return {
        addresses: records.map(({ address }) => address),
        ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000,
        error: undefined,
      };
    } catch (error) {
      return { addresses: [], ttlMs: undefined, error };
    }
  }

  /** No name server gave an address: asks the system, or uses what was known. */
  async #fallBack(
    host: string,
    error: unknown,
    known: Map<string, readonly string[]>,
    signal: AbortSignal,
  ): Promise<Answer> {
    const family = this.#versions.length === 2 ? 0 : this.#versions[0]!;
    if (this.#usesSystem && WORTH_LOOKUP.has(codeOf(error))) {
      try {
        const found = await unlessAborted(lookup(host, { all: true, family }), signal);
        for (const version of this.#versions) {
          const addresses = found.filter((each) => each.family === version).map(({ address }) => address);
          known.set(`${version} ${host}`, addresses);
        }
        return { addresses: found.map(({ address }) => address), ttlMs: undefined };
      } catch {
        // It knows nothing either: what the name server said is the better reason.
      }
    }
    const addresses: string[] = [];
    for (const version of this.#versions) {
      const last = this.#known.get(`${version} ${host}`) ?? [];
      known.set(`${version} ${host}`, last);
      addresses.push(...last);
    }
    return { addresses, ttlMs: undefined, failure: new Error(`${host}: ${dnsReason(error)}`) };
  }
}
