/**
 * What it costs to find and change a cell of memory that threads share, against looking up a `Map`, and what atomic
 * operations cost, in one thread and in two at the same time. Each operation has threads of its own, so that none
 * is compiled for others; they take turns. Figures are medians over rounds of CPU time per operation.
 */
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { createArena, JOB_NAMES, type JobName } from "./support/memory-jobs.ts";
import { conclude, printTable, readOptions, round } from "./support/report.ts";
import { median } from "./support/stats.ts";

const options = readOptions({ rounds: 7, seconds: 0.05 });
/** Operations of one measurement; most take 10 to 200 ns. */
const COUNT = Math.round(options.seconds * 5e6);

async function measure(worker: Worker): Promise<number> {
  const answer = once(worker, "message");
  worker.postMessage(COUNT);
  return (await answer)[0] as number;
}

const jobs = JOB_NAMES.map((name) => {
  const arena = createArena();
  const start = (thread: number): Worker =>
    new Worker(new URL("./support/memory-thread.ts", import.meta.url), {
      workerData: { name, arena, thread },
    });
  return { name, workers: [start(0), start(1)] as const, alone: [] as number[], together: [] as number[] };
});
for (let i = -2; i < options.rounds; i++) {
  for (const { workers, alone, together } of jobs) {
    const one = await measure(workers[0]);
    const [a, b] = await Promise.all([measure(workers[0]), measure(workers[1])]);
    if (i < 0) continue; // not compiled yet
    alone.push(one);
    together.push((a + b) / 2);
  }
}
await Promise.all(jobs.flatMap(({ workers }) => workers.map((worker) => worker.terminate())));

const figures = new Map(
  jobs.map(({ name, alone, together }) => [name, { one: median(alone), two: median(together) }]),
);
const of = (name: JobName): { one: number; two: number } => figures.get(name)!;
printTable(
  ["operation", "one thread", "two threads"],
  [...figures].map(([name, { one, two }]) => [name, `${one.toFixed(0)} ns`, `${two.toFixed(0)} ns`]),
);
conclude(
  "shared-memory",
  [
    {
      what: "finding a cell against looking up a map, both with a key made for it",
      value: round(of("locate").one / of("map").one, 2),
      limit: 1.5,
    },
    {
      what: "the same while another thread does so too",
      value: round(of("locate").two / of("map").two, 2),
      limit: 2,
    },
    {
      what: "finding a cell and counting in it",
      value: round(of("locate and add").one, 0),
      limit: 500,
      unit: " ns",
    },
  ],
  Object.fromEntries(figures),
  options,
);
