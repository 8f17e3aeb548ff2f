/** What became of requests and replies, for metrics and operators. */
import type { Clock, Host, Labels } from "../../core/plugin.ts";
import type { GivenUp } from "./fill.ts";
import type { Purge } from "./level.ts";
import type { BoundedMemoryLevel } from "./memory/memory-level.ts";
import { Refusals } from "./refusals.ts";
import type { NotStoredReason } from "./storable.ts";

/**
 * `hit` was answered from what is stored and fresh, `stale` from what is not any more, `revalidated` after the upstream
 * said that it still is; `miss` by the upstream, `collapsed` with the reply to another request, `bypass` had nothing to
 * do with the cache.
 */
export type CacheResult = "hit" | "stale" | "revalidated" | "miss" | "collapsed" | "bypass";

/** Why something is not stored. `invalidated` while it was on its way. */
export type Refused = NotStoredReason | GivenUp | "invalidated";

/** Shared by generations. */
export class CacheCounts {
  readonly requests: Record<CacheResult, number> = {
    hit: 0,
    stale: 0,
    revalidated: 0,
    miss: 0,
    collapsed: 0,
    bypass: 0,
  };
  /** Refreshes behind replies, by how they ended. */
  readonly refreshes = { ok: 0, failed: 0 };
  /** By what they are about. `malformed` were asked for by replies and not understood. */
  readonly purges: Record<Purge["kind"] | "malformed", number> = {
    all: 0,
    key: 0,
    url: 0,
    prefix: 0,
    tag: 0,
    malformed: 0,
  };
  /** Replies that were stored. */
  stored = 0;
  /** Replies that were not, by reason. */
  readonly refused: Partial<Record<Refused, number>> = {};
  readonly refusals = new Refusals();
  readonly #clock: Clock;
  readonly #level: BoundedMemoryLevel;
  #observeFill: (ms: number) => void = () => {};

  constructor(clock: Clock, level: BoundedMemoryLevel) {
    this.#clock = clock;
    this.#level = level;
  }

  store(fillMs: number): void {
    this.stored++;
    this.#observeFill(fillMs);
  }

  /** @param address of what is not stored, as entries have it */
  refuse(address: string, reason: Refused): void {
    this.refused[reason] = (this.refused[reason] ?? 0) + 1;
    this.refusals.note(address, reason, this.#clock.now());
  }

  /** Has them read, by route and stage. */
  collect({ metrics, route, stage }: Host): void {
    const level = this.#level;
    const labels = { route, stage };
    const by = (name: string, counts: () => object) => (): [Labels, number][] =>
      Object.entries(counts()).map(([value, count]) => [{ ...labels, [name]: value }, count as number]);
    const count = (name: string, help: string, source: () => [Labels, number][]): void =>
      void metrics.collect(`sluice_cache_${name}`, help, "counter", source);
    count(
      "requests_total",
      "Requests to caches, by what became of them.",
      by("result", () => this.requests),
    );
    count(
      "refreshes_total",
      "Refreshes of what is stored, made behind replies.",
      by("result", () => this.refreshes),
    );
    count("stored_total", "Replies that were stored.", () => [[labels, this.stored]]);
    count(
      "not_stored_total",
      "Replies that were not stored, by reason.",
      by("reason", () => this.refused),
    );
    count(
      "evictions_total",
      "Entries that went from memory, by reason.",
      by("reason", () => level.evicted),
    );
    count(
      "purges_total",
      "Purges, by what they are about.",
      by("kind", () => this.purges),
    );
    const now = (name: string, help: string, value: () => number): void =>
      void metrics.collect(`sluice_cache_${name}`, help, "gauge", () => [[labels, value()]]);
    now("entries", "Entries in memory.", () => level.entries);
    now("bytes", "Memory that entries take, all overhead counted.", () => level.bytes);
    const passing =
      "Memory of bodies on their way, and of those that went from memory while clients read them.";
    now("passing_bytes", passing, () => level.passing.bytes);
    const seconds = metrics.histogram(
      "sluice_cache_fill_seconds",
      "From sending a request until its reply is stored.",
      ["route", "stage"],
    );
    this.#observeFill = (ms) => seconds.observe(ms / 1000, labels);
  }
}
