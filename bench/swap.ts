/**
 * Swaps under load: the configuration file is replaced (written beside it and renamed) again and again while
 * every reply is checked. Each revision names itself in a fixed reply and in a header of a proxied one; a reply
 * that is wrong, missing, or of an older revision than one seen before its request is a failure. Measured:
 * failures, how long a saved file takes until it serves, and whether memory grows.
 *
 * `--rounds` is the number of swaps; `--seconds` is the warm-up before the first.
 */
import { benchConfig, saveConfig, startSluice } from "./support/gateways.ts";
import { Connection, type RawReply } from "./support/keep-alive.ts";
import { canPin, LOAD_CORE, pinSelf, type Subject } from "./support/process.ts";
import { conclude, megabytes, printTable, readOptions, round } from "./support/report.ts";
import { median, quantile } from "./support/stats.ts";
import { BODY_BYTES, startUpstream } from "./support/upstream.ts";

const CONNECTIONS = 32;
/** Swaps before memory is looked at for the first time, as a share of all. */
const WARM_UP = 0.2;
/** Between a swap and the next save, so that the watcher is at rest again, as it is when people save. */
const REST_MS = 60;
/** Longest wait for one swap, in milliseconds. */
const PATIENCE_MS = 10_000;

const options = readOptions({ rounds: 1000, seconds: 5 });
pinSelf(LOAD_CORE);

const configOf = (revision: number, target: string): object =>
  benchConfig({
    log: { access: false, format: "json", level: "info" },
    upstreams: { users: { targets: [target] } },
    routes: [
      {
        name: "fixed",
        match: { path: "/revision" },
        pipeline: [{ plugin: "respond", body: `${revision}` }],
      },
      {
        name: "users",
        match: { path: "/users/*" },
        pipeline: [{ plugin: "transform", response: { headers: { set: { "x-revision": `${revision}` } } } }],
        upstream: "users",
      },
    ],
  });

/** The latest revision that any reply has named. */
let seen = 0;
/** The latest revision that was saved. */
let saved = 0;
let replies = 0;
const failures: string[] = [];
let isOver = false;

function check(path: string, reply: RawReply, seenBefore: number): void {
  replies++;
  const proxied = path !== "/revision";
  const text = proxied ? /\r\nx-revision: (\d+)/i.exec(reply.head)?.[1] : reply.body;
  const revision = Number(text);
  if (reply.status !== 200) failures.push(`status ${reply.status}: ${reply.body}`);
  else if (text === undefined || !(revision <= saved)) failures.push(`${path} names revision ${text}`);
  else if (revision < seenBefore) failures.push(`revision ${revision} after ${seenBefore}`);
  else if (proxied && reply.body.length !== BODY_BYTES) failures.push(`body of ${reply.body.length} bytes`);
  else if (revision > seen) seen = revision;
}

/** Sends requests without a pause until the end; a connection that fails is a failure and is opened anew. */
async function keepAsking(url: string, paths: readonly string[]): Promise<void> {
  let connection = await Connection.open(url);
  for (let i = 0; !isOver; i++) {
    const path = paths[i % paths.length]!;
    const seenBefore = seen;
    try {
      check(path, await connection.get(path), seenBefore);
    } catch (error) {
      failures.push((error as Error).message);
      connection = await Connection.open(url);
    }
  }
  connection.close();
}

/** Heap in use after a garbage collection. */
async function heapOf(subject: Subject): Promise<number> {
  const answer = subject.line((line) => /^heap (\d+)$/.exec(line)?.[1]);
  subject.signal("SIGUSR2");
  return Number(await answer);
}

/** Saves the next revision and waits until a reply names it; gives the milliseconds between. */
async function swap(file: string, target: string, probe: Connection): Promise<number> {
  const revision = saved + 1;
  const start = performance.now();
  saved = revision;
  saveConfig(file, configOf(revision, target));
  while (seen < revision) {
    if (performance.now() - start > PATIENCE_MS) throw new Error(`revision ${revision} never served`);
    const seenBefore = seen;
    check("/revision", await probe.get("/revision"), seenBefore);
  }
  return performance.now() - start;
}

const upstream = await startUpstream();
const sluice = await startSluice(configOf(0, upstream.url), {
  watch: true,
  nodeArgs: ["--expose-gc", "--import", `${import.meta.dirname}/support/gc-on-signal.ts`],
});
console.log(
  `${options.rounds} swaps, ${CONNECTIONS} connections, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}\n`,
);

const { subject } = sluice;
const times: number[] = [];
const rss: number[] = [];
const heap: number[] = [];
try {
  const load = Array.from({ length: CONNECTIONS }, (_, i) =>
    keepAsking(sluice.url, i % 2 === 0 ? ["/revision", "/users/17"] : ["/users/17", "/revision"]),
  );
  const loaded = Promise.all(load);
  const probe = await Connection.open(sluice.url);
  const deadline = performance.now() + options.seconds * 1000;
  while (performance.now() < deadline) check("/revision", await probe.get("/revision"), 0);
  for (let i = 0; i < options.rounds; i++) {
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
    times.push(await swap(sluice.file, upstream.url, probe));
    rss.push(subject.rss());
    if (i % Math.ceil(options.rounds / 50) === 0) heap.push(await heapOf(subject));
  }
  isOver = true;
  await loaded;
  probe.close();
} finally {
  isOver = true;
  await sluice.stop();
  await upstream.stop();
}

/** Medians over the fifth after the warm-up and over the last fifth. */
const growth = (values: readonly number[]): { first: number; last: number; percent: number } => {
  const width = Math.max(1, Math.floor(values.length * WARM_UP));
  const first = median(values.slice(width, 2 * width));
  const last = median(values.slice(-width));
  return { first, last, percent: round((last / first - 1) * 100, 1) };
};
const memory = growth(rss);
const heapGrowth = growth(heap);
printTable(
  ["", "figure"],
  [
    ["replies checked", replies.toLocaleString("en")],
    ["failed", String(failures.length)],
    ["saved file to first reply, p50", `${quantile(times, 0.5).toFixed(0)} ms`],
    ["saved file to first reply, p95", `${quantile(times, 0.95).toFixed(0)} ms`],
    ["saved file to first reply, longest", `${Math.max(...times).toFixed(0)} ms`],
    ["RSS after warm-up and at the end", `${megabytes(memory.first)} and ${megabytes(memory.last)}`],
    ["heap after garbage collection", `${megabytes(heapGrowth.first)} and ${megabytes(heapGrowth.last)}`],
  ],
);
for (const failure of failures.slice(0, 5)) console.log(`failed: ${failure}`);
conclude(
  "swap",
  [
    { what: "failed requests", value: failures.length, limit: 0 },
    {
      what: "saved file to first reply, p95",
      value: round(quantile(times, 0.95), 0),
      limit: 250,
      unit: " ms",
    },
    { what: "RSS growth after warm-up", value: memory.percent, limit: 10, unit: " %" },
  ],
  { replies, times, rss, heap },
  options,
);
