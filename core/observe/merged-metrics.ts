/** The metrics of all threads as one, on the control thread. */
import { CountBase, labelThread, mergeSnapshots } from "./merge.ts";
import { type GatewayMetrics, renderProcessMetrics } from "./metrics.ts";
import { readingOf, type ThreadReading } from "./thread-health.ts";
import { CONTENT_TYPE, renderSnapshot, type Snapshot, type Totals, totalsOf } from "./snapshot.ts";

/** How often threads are asked although nobody reads: what a thread counted since then is lost when it dies. */
const ASK_EVERY_MS = 1000;
/** How long a reader waits for threads. */
const ASK_TIMEOUT_MS = 1000;

/** Another thread that has metrics. */
export interface MetricSource {
  /** Its number; the label `thread`. */
  readonly thread: number;
  /** What its {@link GatewayMetrics} tell. May fail, and may take for ever while the thread is stuck. */
  snapshot(): Promise<Snapshot>;
}

/** A thread, and what was last heard of it. */
interface Followed {
  readonly source: MetricSource;
  last: Snapshot;
  /** The answer that is awaited; settles when it has come. */
  asked: Promise<void>;
  /** The question that comes after it; all who ask meanwhile share it, for the answer must not be older than they. */
  next: Promise<void> | undefined;
}

export class MergedMetrics {
  /** The metrics of this thread. */
  readonly own: GatewayMetrics;
  /** What this thread is called. */
  readonly #name: string;
  readonly #threads = new Map<number, Followed>();
  readonly #base = new CountBase();
  #timer: NodeJS.Timeout | undefined;

  /** @param name what this thread is called in the label `thread`: `control`, or `0` when it is the only one */
  constructor(own: GatewayMetrics, name: string) {
    this.own = own;
    this.#name = name;
  }

  /** A thread began. The one of that number before it is {@link retire}d. */
  add(source: MetricSource): void {
    this.retire(source.thread);
    this.#threads.set(source.thread, { source, last: [], asked: Promise.resolve(), next: undefined });
    this.#timer ??= setInterval(() => this.#ask(), ASK_EVERY_MS).unref();
  }

  /** A thread ended: its counts stay, its gauges go. */
  retire(thread: number): void {
    const ended = this.#threads.get(thread);
    if (ended === undefined) return;
    this.#threads.delete(thread);
    this.#base.retire(thread, ended.last);
    if (this.#threads.size === 0) this.close();
  }

  /** Asks threads no more, unless somebody reads. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** All metrics as one: of each thread those of now, or what it told last if it does not answer within a second. */
  async snapshot(): Promise<Snapshot> {
    const own = labelThread(await this.#refresh(), this.#name);
    const living = [own, ...Array.from(this.#threads.values(), ({ last }) => last)];
    return mergeSnapshots([...living, ...this.#base.beside(living)]);
  }

  /** In the Prometheus text format, with what is known of the process. */
  async render(): Promise<{ contentType: string; text: string }> {
    const [snapshot, process] = await Promise.all([this.snapshot(), renderProcessMetrics()]);
    return { contentType: CONTENT_TYPE, text: `${renderSnapshot(snapshot)}\n${process}` };
  }

  /** Sums for `/admin/stats`. */
  async totals(): Promise<Totals> {
    return totalsOf(await this.snapshot());
  }

  /** What is known of how threads are, by the name of the thread. */
  async readings(): Promise<Map<string, ThreadReading>> {
    const own = await this.#refresh();
    const readings = new Map([[this.#name, readingOf(own)]]);
    for (const [thread, { last }] of this.#threads) {
      if (last.length > 0) readings.set(String(thread), readingOf(last));
    }
    return readings;
  }

  /** Asks all threads, and gives up on those that do not answer in time. Gives what this thread tells. */
  async #refresh(): Promise<Snapshot> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, ASK_TIMEOUT_MS);
    const [own] = await Promise.all([this.own.snapshot(), Promise.race([this.#ask(), late.promise])]);
    clearTimeout(timer);
    return own;
  }

  async #ask(): Promise<void> {
    await Promise.all(Array.from(this.#threads.values(), (each) => this.#askOne(each)));
  }

  #askOne(followed: Followed): Promise<void> {
    followed.next ??= followed.asked = followed.asked.then(async () => {
      followed.next = undefined;
      const { source } = followed;
      try {
        const fresh = labelThread(await source.snapshot(), String(source.thread));
        if (this.#threads.get(source.thread) !== followed) return;
        this.#base.follow(source.thread, followed.last, fresh);
        followed.last = fresh;
      } catch {
        // It is ending. Who started it says why; what it told last counts.
      }
    });
    return followed.next;
  }
}
