/**
 * Swaps under load: something is saved again and again while every reply is checked. Each revision names itself in
 * replies; a reply that is wrong, missing, or of an older revision than one seen before its request is a failure.
 * Measured: failures, how long a saved file takes until it serves, and whether memory grows.
 */
import type { SluiceServer } from "./gateways.ts";
import { Connection, type RawReply } from "./keep-alive.ts";
import type { Subject } from "./process.ts";
import { type BenchOptions, conclude, megabytes, printTable, round } from "./report.ts";
import { median, quantile } from "./stats.ts";

export interface Swapping {
  /** Name of the bench. */
  readonly name: string;
  /** Must run with {@link GC_ON_SIGNAL}. */
  readonly sluice: SluiceServer;
  /** Paths that are asked in turn; the first one is asked for how long a swap takes. */
  readonly paths: readonly string[];
  /** Puts a revision into the gateway, from 1. */
  save(revision: number): void;
  /** The revision that a reply names, as text; undefined when it names none. @throws Error when it is wrong otherwise */
  revisionOf(path: string, reply: RawReply): string | undefined;
  readonly options: BenchOptions;
}

export const CONNECTIONS = 32;
/** Has the process tell the size of its heap after a collection, when asked by a signal. */
export const GC_ON_SIGNAL = ["--expose-gc", "--import", `${import.meta.dirname}/gc-on-signal.ts`];
/** Swaps before memory is looked at for the first time, as a share of all. */
const WARM_UP = 0.2;
/** Between a swap and the next save, so that the watcher is at rest again, as it is when people save. */
const REST_MS = 60;
/** Longest wait for one swap, in milliseconds. */
const PATIENCE_MS = 10_000;

/** Swaps `rounds` times after a warm-up of `seconds`, and prints what came of it. The caller stops the gateway. */
export async function measureSwaps({
  name,
  sluice,
  paths,
  save,
  revisionOf,
  options,
}: Swapping): Promise<void> {
  /** The latest revision that any reply has named. */
  let seen = 0;
  /** The latest revision that was saved. */
  let saved = 0;
  let replies = 0;
  let isOver = false;
  const failures: string[] = [];
  const [first] = paths as [string];
  const { subject } = sluice;

  const check = (path: string, reply: RawReply, seenBefore: number): void => {
    replies++;
    if (reply.status !== 200) return void failures.push(`status ${reply.status}: ${reply.body}`);
    const text = revisionOf(path, reply);
    const revision = Number(text);
    if (text === undefined || !(revision <= saved)) failures.push(`${path} names revision ${text}`);
    else if (revision < seenBefore) failures.push(`revision ${revision} after ${seenBefore}`);
    else if (revision > seen) seen = revision;
  };

  /** Sends requests without a pause until the end; a connection that fails is a failure and is opened anew. */
  const keepAsking = async (start: number): Promise<void> => {
    let connection = await Connection.open(sluice.url);
    for (let i = start; !isOver; i++) {
      const path = paths[i % paths.length]!;
      const seenBefore = seen;
      try {
        check(path, await connection.get(path), seenBefore);
      } catch (error) {
        failures.push((error as Error).message);
        connection = await Connection.open(sluice.url);
      }
    }
    connection.close();
  };

  /** Saves the next revision and waits until a reply names it; gives the milliseconds between. */
  const swap = async (probe: Connection): Promise<number> => {
    const revision = saved + 1;
    const start = performance.now();
    saved = revision;
    save(revision);
    while (seen < revision) {
      if (performance.now() - start > PATIENCE_MS) throw new Error(`revision ${revision} never served`);
      const seenBefore = seen;
      check(first, await probe.get(first), seenBefore);
    }
    return performance.now() - start;
  };

  const times: number[] = [];
  const rss: number[] = [];
  const heap: number[] = [];
  try {
    const loaded = Promise.all(Array.from({ length: CONNECTIONS }, (_, i) => keepAsking(i)));
    const probe = await Connection.open(sluice.url);
    const deadline = performance.now() + options.seconds * 1000;
    while (performance.now() < deadline) check(first, await probe.get(first), 0);
    for (let i = 0; i < options.rounds; i++) {
      await new Promise((resolve) => setTimeout(resolve, REST_MS));
      times.push(await swap(probe));
      rss.push(subject.rss());
      if (i % Math.ceil(options.rounds / 50) === 0) heap.push(await heapOf(subject));
    }
    isOver = true;
    await loaded;
    probe.close();
  } finally {
    isOver = true;
  }

  const memory = growth(rss);
  const heapGrowth = growth(heap);
  const p95 = quantile(times, 0.95);
  printTable(
    ["", "figure"],
    [
      ["replies checked", replies.toLocaleString("en")],
      ["failed", String(failures.length)],
      ["saved file to first reply, p50", `${quantile(times, 0.5).toFixed(0)} ms`],
      ["saved file to first reply, p95", `${p95.toFixed(0)} ms`],
      ["saved file to first reply, longest", `${Math.max(...times).toFixed(0)} ms`],
      ["RSS after warm-up and at the end", `${megabytes(memory.first)} and ${megabytes(memory.last)}`],
      ["heap after garbage collection", `${megabytes(heapGrowth.first)} and ${megabytes(heapGrowth.last)}`],
    ],
  );
  for (const failure of failures.slice(0, 5)) console.log(`failed: ${failure}`);
  conclude(
    name,
    [
      { what: "failed requests", value: failures.length, limit: 0 },
      { what: "saved file to first reply, p95", value: round(p95, 0), limit: 250, unit: " ms" },
      { what: "RSS growth after warm-up", value: memory.percent, limit: 10, unit: " %" },
    ],
    { replies, times, rss, heap },
    options,
  );
}

/** Heap in use after a garbage collection. */
async function heapOf(subject: Subject): Promise<number> {
  const answer = subject.line((line) => /^heap (\d+)$/.exec(line)?.[1]);
  subject.signal("SIGUSR2");
  return Number(await answer);
}

/** Medians over the fifth after the warm-up and over the last fifth. */
function growth(values: readonly number[]): { first: number; last: number; percent: number } {
  const width = Math.max(1, Math.floor(values.length * WARM_UP));
  const first = median(values.slice(width, 2 * width));
  const last = median(values.slice(-width));
  return { first, last, percent: round((last / first - 1) * 100, 1) };
}
