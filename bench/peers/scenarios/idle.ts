/** Memory of a contender that has just started and has nothing to do. */
import { type TreeMemory, treeMemory } from "../../support/process-tree.ts";
import { megabytes, type Verdict } from "../../support/report.ts";
import { Field } from "../field.ts";
import type { Bench, Outcome, Scenario } from "../scenario.ts";

/** After the start, when what was needed for it has been let go or not. */
const SETTLE_MS = 5000;
const LIMIT_MB = 100;

async function run(bench: Bench): Promise<Outcome> {
  const figures: ({ name: string; isOwn: boolean } & TreeMemory)[] = [];
  const contenders = bench.contenders.filter(({ variant }) => !variant);
  const field = await Field.start(contenders, { upstream: bench.upstream.url, threads: 1 });
  try {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await field.takeTurns(0, async ({ contender: { name, isOwn = false }, server }) => {
      figures.push({ name, isOwn, ...treeMemory(server.subject.pid) });
    });
  } finally {
    await field.stop();
  }
  const verdicts = figures
    .filter(({ isOwn }) => isOwn)
    .map(
      ({ largest }): Verdict => ({
        what: "idle RSS of the gateway process, 1 thread",
        value: Math.round(largest.rss / 2 ** 20),
        limit: LIMIT_MB,
        unit: " MB",
      }),
    );
  return {
    title: "memory at rest, before the first request",
    head: ["", "processes", "RSS of the largest", "RSS of all", "PSS of all"],
    rows: figures.map(({ name, processes, rss, pss, largest }) => [
      name,
      String(processes),
      ...[largest.rss, rss, pss].map(megabytes),
    ]),
    notes: [
      "Of Sluice the largest process is the gateway, and another one looks after it. RSS counts the program's file, which",
      "processes share and the kernel can drop; PSS counts it by its share.",
    ],
    verdicts,
    failed: field.failed,
    figures: { contenders: figures },
  };
}

export const idle: Scenario = { name: "idle", run };
