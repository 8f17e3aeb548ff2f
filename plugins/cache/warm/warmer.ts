/** Asks for what clients will ask for, at a rate that does not hurt, one list at a time. It outlives reloads. */
import type { WarmReading } from "../../../core/cache-view.ts";
import { pause } from "../../../core/pause.ts";
import type { Clock } from "../../../core/plugin.ts";
import { parseRate } from "../../../core/units.ts";
import type { WarmOptions } from "../../../core/warm-options.ts";
import { readSitemap, type Sitemap } from "./sitemap.ts";

/** URLs of a list, those of its sitemaps included. */
const MOST_URLS = 50_000;
const MOST_SITEMAPS = 1000;
const SHOWN_ERRORS = 10;

/** Asks by the handler of the generation that serves. */
export interface Sender {
  /** @returns why it is not stored; undefined when it is */
  fill(url: string, headers: WarmOptions["headers"], signal: AbortSignal): Promise<string | undefined>;
  /** @throws when there is no such sitemap */
  read(url: string, headers: WarmOptions["headers"], signal: AbortSignal): Promise<Buffer>;
}

/** A list that is being worked on, or was. */
class Job {
  readonly options: WarmOptions;
  readonly stop = new AbortController();
  readonly urls = new Set<string>();
  readonly errors: { url: string; reason: string }[] = [];
  /** URLs that were asked for, but for those that were under way when it was stopped. */
  begun = 0;
  stored = 0;
  failed = 0;
  isOver = false;

  constructor(options: WarmOptions) {
    this.options = options;
    for (const url of options.urls) this.urls.add(url);
  }

  fail(url: string, reason: string): void {
    this.failed++;
    this.errors.push({ url, reason });
    if (this.errors.length > SHOWN_ERRORS) this.errors.shift();
  }
}

export class Warmer {
  readonly #clock: Clock;
  #sender: Sender | undefined;
  #job: Job | undefined;
  /** What the configuration has had warmed last, as JSON. */
  #configured: string | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A generation serves: what is still to be asked for is asked by it.
   * @param configured its list, which is begun unless the generation before had the same
   */
  attach(sender: Sender, configured: WarmOptions | undefined): void {
    this.#sender = sender;
    const list = configured && JSON.stringify(configured);
    if (list === this.#configured) return;
    this.#configured = list;
    if (configured === undefined) return;
    this.stop();
    this.#begin(configured);
  }

  /** The generation has ended; without another, everything has. */
  detach(sender: Sender): void {
    if (this.#sender !== sender) return;
    this.#sender = undefined;
    this.stop();
  }

  /** @returns false while another list is being worked on */
  begin(options: WarmOptions): boolean {
    if (this.#job?.isOver === false) return false;
    this.#begin(options);
    return true;
  }

  stop(): void {
    this.#job?.stop.abort(new Error("stopped"));
  }

  read(): WarmReading | null {
    const job = this.#job;
    if (job === undefined) return null;
    const { stored, failed, urls, stop, isOver, errors } = job;
    const state = !isOver ? "under-way" : stop.signal.aborted ? "stopped" : "done";
    return { state, stored, failed, remaining: urls.size - job.begun, lastErrors: errors.slice() };
  }

  #begin(options: WarmOptions): void {
    const job = new Job(options);
    this.#job = job;
    void this.#work(job).finally(() => {
      job.isOver = true;
    });
  }

  async #work(job: Job): Promise<void> {
    const { sitemaps, concurrency, rate } = job.options;
    const turns = new Turns(parseRate(rate), this.#clock, job.stop.signal);
    for (const url of sitemaps) await this.#addSitemap(job, url, turns, true);
    const all = job.urls.values();
    await Promise.all(Array.from({ length: concurrency }, () => this.#fillAll(job, all, turns)));
  }

  async #fillAll(job: Job, urls: Iterator<string>, turns: Turns): Promise<void> {
    const { signal } = job.stop;
    for (;;) {
      await turns.take();
      if (signal.aborted || this.#sender === undefined) return;
      const { value, done } = urls.next();
      if (done) return;
      job.begun++;
      try {
        const reason = await this.#sender.fill(value, job.options.headers, signal);
        if (reason === undefined) job.stored++;
        else job.fail(value, reason);
      } catch (error) {
        if (signal.aborted) job.begun--;
        else job.fail(value, (error as Error).message);
      }
    }
  }

  /** @param mayBeIndex sitemaps that it lists are read; those that they list are not */
  async #addSitemap(job: Job, url: string, turns: Turns, mayBeIndex: boolean): Promise<void> {
    const { signal } = job.stop;
    await turns.take();
    if (signal.aborted || this.#sender === undefined) return;
    let sitemap: Sitemap;
    try {
      sitemap = await readSitemap(await this.#sender.read(url, job.options.headers, signal));
    } catch (error) {
      return job.fail(url, (error as Error).message);
    }
    if (!sitemap.isIndex) {
      for (const location of sitemap.locations) {
        if (job.urls.size >= MOST_URLS) return job.fail(url, `more than ${MOST_URLS} URLs`);
        job.urls.add(location);
      }
    } else if (mayBeIndex) {
      const { length } = sitemap.locations;
      if (length > MOST_SITEMAPS) job.fail(url, `more than ${MOST_SITEMAPS} sitemaps`);
      for (const location of sitemap.locations.slice(0, MOST_SITEMAPS))
        await this.#addSitemap(job, location, turns, false);
    } else job.fail(url, "an index within an index");
  }
}

/** Gives turns at a rate, one by one. */
class Turns {
  readonly #everyMs: number;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #nextAt = 0;

  constructor({ count, windowMs }: { count: number; windowMs: number }, clock: Clock, signal: AbortSignal) {
    this.#everyMs = windowMs / count;
    this.#clock = clock;
    this.#signal = signal;
  }

  async take(): Promise<void> {
    const now = this.#clock.monotonic();
    const at = Math.max(now, this.#nextAt);
    this.#nextAt = at + this.#everyMs;
    if (at > now) await pause(at - now, this.#signal);
  }
}
