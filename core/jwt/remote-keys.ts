/**
 * Keys that an issuer publishes. They are fetched when somebody needs them: the first time, when they have become old,
 * and when a token names one that is not among them. While they cannot be fetched, the old ones go on to count.
 */
import type { Clock, Log, Metrics } from "../plugin.ts";

/** More do not wait for a fetch: they could be made to by anybody. */
const MOST_WAITING = 500;

export interface RemoteOptions<T> {
  readonly url: URL;
  readonly refreshMs: number;
  readonly cooldownMs: number;
  readonly staleMs: number;
  fetch(url: URL, signal: AbortSignal): Promise<string>;
  /** @throws Error that says why not */
  parse(text: string): T | Promise<T>;
}

export class RemoteKeys<T extends object> {
  readonly #options: RemoteOptions<T>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #fetches: ReturnType<Metrics["counter"]>;
  readonly #closing = new AbortController();
  #keys: T | undefined;
  #text: string | undefined;
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #triedAt = Number.NEGATIVE_INFINITY;
  #isFailing = false;
  #fetching: Promise<void> | undefined;
  #waiting = 0;

  constructor(
    options: RemoteOptions<T>,
    { clock, log, metrics }: { clock: Clock; log: Log; metrics: Metrics },
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#log = log;
    this.#fetches = metrics.counter(
      "sluice_auth_jwks_fetches_total",
      "Fetches of the keys of issuers, by outcome: `ok` or `failed`.",
      ["host", "outcome"],
    );
  }

  /** True when they could not be fetched the last time. */
  get isFailing(): boolean {
    return this.#isFailing;
  }

  /** The keys that count now: the same object until others come. Fetches them in the background when it is time. */
  current(): T | undefined {
    const age = this.#clock.monotonic() - this.#fetchedAt;
    if (age >= this.#options.refreshMs) void this.#fetchUnlessCooling();
    return age < this.#options.staleMs ? this.#keys : undefined;
  }

  /**
   * Resolves when they were fetched, or could not be; at once when it is too early to try.
   * @returns false when too many wait for it already
   */
  async renew(): Promise<boolean> {
    const fetching = this.#fetchUnlessCooling();
    if (fetching === undefined) return true;
    if (this.#waiting >= MOST_WAITING) return false;
    this.#waiting++;
    await fetching;
    this.#waiting--;
    return true;
  }

  close(): void {
    this.#closing.abort();
  }

  #fetchUnlessCooling(): Promise<void> | undefined {
    if (this.#fetching === undefined) {
      const now = this.#clock.monotonic();
      if (now - this.#triedAt < this.#options.cooldownMs || this.#closing.signal.aborted) return undefined;
      this.#triedAt = now;
      this.#fetching = this.#fetch().finally(() => {
        this.#fetching = undefined;
      });
    }
    return this.#fetching;
  }

  async #fetch(): Promise<void> {
    const { url, fetch, parse } = this.#options;
    try {
      const text = await fetch(url, this.#closing.signal);
      if (text !== this.#text) {
        this.#keys = await parse(text);
        this.#text = text;
      }
      this.#fetchedAt = this.#triedAt;
      this.#isFailing = false;
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#isFailing = true;
      this.#log.warn(
        { host: url.host, why: (error as Error).message },
        "the keys of an issuer could not be fetched",
      );
    }
    this.#fetches.inc({ host: url.host, outcome: this.#isFailing ? "failed" : "ok" });
  }
}
