/** Keeps the last good set of what a source tells, and says when the source fails and when it recovers. */
import { targetProblem } from "../../config/targets.ts";
import { normalizeTarget } from "../target-url.ts";
import type { Discovery, DiscoveryContext } from "./discovery.ts";
import { pause } from "../../pause.ts";
import { type Follower, type Found, reasonOf, type Source } from "./source.ts";

/** How long the first answer is waited for. */
export const READY_MS = 8000;
/** Time between tries of a source that fails: this at first, then twice as long each time, up to the longest. */
const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;
/** Most targets that a log line names. */
const MAX_NAMED = 20;

export class LiveDiscovery implements Discovery, Follower {
  readonly ready: Promise<void>;
  readonly #source: Source;
  readonly #context: DiscoveryContext;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<() => void>();
  readonly #updates: { inc(labels: Record<string, string>): void };
  readonly #endMetric: () => void;
  readonly #endReady: () => void;
  readonly #work: Promise<void>;
  #found: readonly Found[] = [];
  #failure: Error | undefined;
  /** False until the source told a set for the first time. */
  #isKnown = false;
  /** Times in a row that following ended. */
  #ends = 0;

  constructor(source: Source, context: DiscoveryContext) {
    this.#source = source;
    this.#context = context;
    const { upstream, metrics } = context;
    this.#updates = metrics.counter("sluice_discovery_updates_total", "Answers of sources of targets.", [
      "upstream",
      "source",
      "result",
    ]);
    this.#endMetric = metrics.collect(
      "sluice_discovery_stale",
      "1 while the source of an upstream's targets fails and the last good set is used.",
      "gauge",
      () => [[{ upstream }, this.#failure === undefined ? 0 : 1]],
    );
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ready = promise;
    const late = new Error(`There was no answer within ${READY_MS / 1000} s`);
    const timer = setTimeout(() => this.failed(late), READY_MS);
    this.#endReady = () => {
      clearTimeout(timer);
      resolve();
    };
    this.#work = this.#follow();
  }

  get found(): readonly Found[] {
    return this.#found;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    this.#abort.abort();
    this.#endReady();
    this.#endMetric();
    await this.#work;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  tell(targets: readonly Found[]): void {
    if (this.signal.aborted) return;
    const isChanged = this.#set(targets);
    this.#ends = 0;
    this.#count(isChanged ? "changed" : "unchanged");
    if (this.#failure !== undefined) {
      this.#failure = undefined;
      this.#context.log.info({ ...this.#fields(), targets: this.#found.length }, "targets are found again");
    }
    this.#endReady();
  }

  failed(error: Error, targets?: readonly Found[]): void {
    if (this.signal.aborted) return;
    if (targets !== undefined) this.#set(targets);
    this.#count("failed");
    const isNew = this.#failure === undefined;
    this.#failure = error;
    if (isNew) {
      const fields = { ...this.#fields(), targets: this.#found.length, reason: reasonOf(error) };
      this.#context.log.warn(fields, "targets cannot be found; those that are known stay");
    }
    this.#endReady();
  }

  async #follow(): Promise<void> {
    const { signal } = this;
    while (!signal.aborted) {
      try {
        await this.#source.follow(this);
      } catch (error) {
        this.failed(error as Error);
      }
      const backoff = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#ends++);
      await pause(backoff * (0.5 + 0.5 * this.#context.random()), signal);
    }
  }

  /** Makes these the set. True when it is another one. */
  #set(targets: readonly Found[]): boolean {
    const weights = new Map<string, number>();
    for (const { url, weight } of targets) {
      const problem = targetProblem(url);
      if (problem !== undefined) throw new Error(problem);
      const normal = normalizeTarget(url);
      weights.set(normal, Math.max(weight, weights.get(normal) ?? 0));
    }
    const found = [...weights].map(([url, weight]) => ({ url, weight }));
    found.sort((a, b) => (a.url < b.url ? -1 : 1));
    const old = this.#found;
    const isFirst = !this.#isKnown;
    this.#isKnown = true;
    const isChanged = JSON.stringify(found) !== JSON.stringify(old);
    if (isChanged) {
      this.#found = found;
      for (const listener of this.#listeners) listener();
    }
    if (isChanged || isFirst) this.#logChange(old, found);
    return isChanged || isFirst;
  }

  #logChange(old: readonly Found[], found: readonly Found[]): void {
    const [before, now] = [old, found].map((set) => new Set(set.map(({ url }) => url))) as [
      Set<string>,
      Set<string>,
    ];
    const added = [...now.difference(before)].slice(0, MAX_NAMED);
    const removed = [...before.difference(now)].slice(0, MAX_NAMED);
    const fields = { ...this.#fields(), targets: found.length, added, removed };
    if (found.length === 0) this.#context.log.warn(fields, "there are no targets");
    else this.#context.log.info(fields, "targets found");
  }

  #count(result: "changed" | "unchanged" | "failed"): void {
    this.#updates.inc({ ...this.#fields(), result });
  }

  #fields(): { upstream: string; source: string } {
    return { upstream: this.#context.upstream, source: this.#source.kind };
  }
}
