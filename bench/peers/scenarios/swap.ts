/**
 * Configuration changes under load: 32 connections without a pause while a new revision is put in, again and again. A
 * request fails when its reply is not the one of a revision that was in force, when its connection breaks, or when none
 * is accepted. A kept-alive connection that is closed before any of the reply came is told apart: clients may send such
 * a request again, and many do. What cannot be reloaded is stopped and started.
 */
import { Connection } from "../../support/keep-alive.ts";
import { round, type Verdict } from "../../support/report.ts";
import { median } from "../../support/stats.ts";
import type { Contender, Running } from "../contender.ts";
import type { Bench, Outcome, Scenario } from "../scenario.ts";
import type { Echo } from "../verify.ts";

const CONNECTIONS = 32;
const SWAPS = 5;
/** Between a swap and the next. */
const REST_MS = 500;
/** Longest wait for a swap. */
const PATIENCE_MS = 15_000;
/** Before another try when nothing accepts a connection. */
const RETRY_MS = 20;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What the clients of one contender have seen. */
class Tally {
  replies = 0;
  /** Connections that were closed under a request, before any of its reply. */
  closed = 0;
  /** Wrong replies, replies that broke off, connections that were not accepted. */
  failures: string[] = [];
  /** The latest revision that any reply has named. */
  seen = 0;
  /** Longest time without any reply. */
  longestGapMs = 0;
  #lastReply = performance.now();

  count(status: number, body: string, latest: number): void {
    this.replies++;
    const now = performance.now();
    this.longestGapMs = Math.max(this.longestGapMs, now - this.#lastReply);
    this.#lastReply = now;
    const revision = status === 200 ? Number((JSON.parse(body) as Echo).revision) : Number.NaN;
    if (!(revision >= 1 && revision <= latest)) this.failures.push(`status ${status}: ${body.slice(0, 100)}`);
    else if (revision > this.seen) this.seen = revision;
  }
}

/** State that the clients and the swaps share. */
interface Run {
  readonly url: string;
  readonly tally: Tally;
  /** The latest revision that was put in. */
  latest: number;
  isOver: boolean;
}

async function connect(run: Run): Promise<Connection | undefined> {
  while (!run.isOver) {
    try {
      return await Connection.open(run.url);
    } catch (error) {
      run.tally.failures.push((error as Error).message);
      await pause(RETRY_MS);
    }
  }
  return undefined;
}

async function keepAsking(run: Run): Promise<void> {
  let connection = await connect(run);
  while (!run.isOver && connection !== undefined) {
    try {
      const { status, head, body } = await connection.get("/echo");
      run.tally.count(status, body, run.latest);
      if (!/\r\nconnection: close/i.test(head)) continue;
      connection.close(); // as it was told
    } catch (error) {
      if (run.isOver) return;
      if (connection.isMidReply) run.tally.failures.push((error as Error).message);
      else run.tally.closed++;
    }
    connection = await connect(run);
  }
  connection?.close();
}

/** Puts the next revision in and waits until a reply names it. @returns milliseconds */
async function swap(run: Run, put: (revision: number) => Promise<void> | void): Promise<number> {
  const start = performance.now();
  run.latest++;
  await put(run.latest);
  while (run.tally.seen < run.latest) {
    if (performance.now() - start > PATIENCE_MS) throw new Error(`revision ${run.latest} never served`);
    await pause(5);
  }
  return performance.now() - start;
}

interface Swapped {
  name: string;
  isOwn: boolean;
  by: string;
  replies: number;
  closed: number;
  failures: number;
  firstFailure: string | undefined;
  medianMs: number;
  longestGapMs: number;
}

async function measure(contender: Contender, upstream: string): Promise<Swapped> {
  let server: Running = await contender.start({ upstream, revision: 1 });
  const { url } = server;
  const port = Number(new URL(url).port);
  const run: Run = { url, tally: new Tally(), latest: 1, isOver: false };
  const times: number[] = [];
  const clients = Array.from({ length: CONNECTIONS }, () => keepAsking(run));
  try {
    for (let i = 0; i < SWAPS; i++) {
      await pause(REST_MS);
      times.push(
        await swap(run, async (revision) => {
          if (server.reload !== undefined) return server.reload(revision);
          await server.stop();
          server = await contender.start({ upstream, revision, port });
        }),
      );
    }
    await pause(REST_MS);
  } finally {
    run.isOver = true;
    await server.stop();
    await Promise.all(clients);
  }
  const { replies, closed, failures, longestGapMs } = run.tally;
  const { name, isOwn = false, reloadedBy: by } = contender;
  const medianMs = round(median(times), 0);
  return {
    ...{ name, isOwn, by, replies, closed, medianMs, longestGapMs: round(longestGapMs, 0) },
    failures: failures.length,
    firstFailure: failures[0],
  };
}

async function run(bench: Bench): Promise<Outcome> {
  const figures: Swapped[] = [];
  const failed = new Map<string, string>();
  for (const contender of bench.contenders.filter(({ variant }) => !variant)) {
    try {
      figures.push(await measure(contender, bench.upstream.url));
    } catch (error) {
      failed.set(contender.name, (error as Error).message);
    }
  }
  const verdicts = figures
    .filter(({ isOwn }) => isOwn)
    .map(
      ({ failures, closed }): Verdict => ({
        what: "configuration swaps: failed requests and closed connections of Sluice",
        value: failures + closed,
        limit: 0,
      }),
    );
  return {
    title: `${SWAPS} configuration changes under load, ${CONNECTIONS} connections`,
    head: ["", "replies", "failed", "closed", "served after", "longest gap", "by"],
    rows: figures.map((each) => [
      each.name,
      String(each.replies),
      String(each.failures),
      String(each.closed),
      `${each.medianMs} ms`,
      `${each.longestGapMs} ms`,
      each.by,
    ]),
    notes: [
      "Closed: kept-alive connections closed under a request, which a client may send again; not in failed. A client that",
      `nothing accepts tries again after ${RETRY_MS} ms, and each try has failed.`,
    ],
    verdicts,
    failed,
    figures: { contenders: figures },
  };
}

export const swapUnderLoad: Scenario = { name: "swap", run };
