/**
 * Whether two threads do twice the work of one. With two cores the load, the upstream and the second thread would share
 * one, so that requests per second say little: what counts is CPU time. A thread that has a core serves as many requests
 * a second as fit into it, so n threads on n cores serve n / (CPU time per request), as long as they do not wait for
 * each other; waiting by spinning, bouncing cache lines and copied state all show as CPU time per request. One thread
 * runs on the core of its own; two run on both cores, beside the load, which is worse for them than cores of their own.
 */
import { cpus } from "node:os";
import { LOAD_CORE, SUBJECT_CORE } from "../../support/process.ts";
import { shareOfBusiest, treeThreads } from "../../support/process-tree.ts";
import { round } from "../../support/report.ts";
import { median } from "../../support/stats.ts";
import { measure, ratioOf, type Sample, summarize } from "../measure.ts";
import type { Bench, Outcome, Scenario } from "../scenario.ts";

const PATH = "/users/17?verbose=1";
const CONNECTIONS_A_THREAD = 64;
const WARM_UP_SECONDS = 4;
const LIMITS = { atLeast: 1.8, cpuRatio: 1.1 };

async function run(bench: Bench): Promise<Outcome> {
  const sluice = bench.contenders.find(({ isOwn, variant }) => isOwn && !variant);
  if (sluice === undefined) throw new Error("needs Sluice among the peers");
  const { url: upstream } = bench.upstream;
  const rows = [
    { threads: 1, cores: [SUBJECT_CORE], samples: [] as Sample[], shares: [] as number[] },
    { threads: 2, cores: [SUBJECT_CORE, LOAD_CORE], samples: [] as Sample[], shares: [] as number[] },
  ] as const;
  const servers = [];
  try {
    for (const { threads, cores } of rows) servers.push(await sluice.start({ upstream, threads, cores }));
    for (let turn = 0; turn <= bench.rounds; turn++) {
      for (const [i, { threads, samples, shares }] of rows.entries()) {
        const server = servers[i]!;
        const before = treeThreads(server.subject.pid);
        const seconds = turn === 0 ? WARM_UP_SECONDS : bench.seconds;
        const sample = await measure(server, {
          path: PATH,
          connections: CONNECTIONS_A_THREAD * threads,
          seconds,
        });
        if (turn === 0) continue;
        samples.push(sample);
        shares.push(shareOfBusiest(before, treeThreads(server.subject.pid)));
      }
    }
  } finally {
    for (const server of servers) await server.stop();
  }
  const [one, two] = rows;
  const ratio = round(ratioOf(two.samples, one.samples));
  const failures = [...one.samples, ...two.samples].reduce((sum, each) => sum + each.failures, 0);
  return {
    title: "two threads and one",
    head: ["threads", "cores", "CPU µs/req", "req/s", "share of the busiest thread", "served by n cores"],
    rows: rows.map(({ threads, cores, samples, shares }) => {
      const { cpuMicros, perSecond } = summarize(samples);
      return [
        String(threads),
        cores.length === 1 ? "its own" : "both, shared with the load",
        cpuMicros.toFixed(1),
        perSecond.toFixed(0),
        `${(median(shares) * 100).toFixed(0)} %`,
        `${((threads * 1e6) / cpuMicros).toFixed(0)} req/s`,
      ];
    }),
    notes: [
      `By CPU time: this machine has ${cpus().length} cores, and two threads and their load need more.`,
      "Served by n cores: n / (CPU time per request), what n cores of their own would serve.",
    ],
    verdicts: [
      { what: "CPU time per request, 2 threads / 1 thread", value: ratio, limit: LIMITS.cpuRatio },
      {
        what: "capacity of 2 threads / 1 thread, by CPU time",
        value: round(2 / ratio),
        limit: LIMITS.atLeast,
        atLeast: true,
      },
      { what: "two threads: failed requests", value: failures, limit: 0 },
    ],
    failed: new Map(),
    figures: { rows },
  };
}

export const threads: Scenario = { name: "threads", run };
