/**
 * 10,000 keep-alive connections, 1,000 of them busy all the time and the rest asking now and then: errors and memory.
 * Sluice has two threads here, and one in a row of its own; the others have one.
 */
import { holdCrowd } from "../../support/crowd.ts";
import { type TreeMemory, treeMemory } from "../../support/process-tree.ts";
import { megabytes, type Verdict } from "../../support/report.ts";
import { BODY_BYTES } from "../../support/upstream.ts";
import type { Contender } from "../contender.ts";
import type { Bench, Outcome, Scenario } from "../scenario.ts";

const CONNECTIONS = 10_000;
/** Those, and as many upstream connections as are busy at once, and room. */
export const OPEN_FILES = CONNECTIONS + 4_000;
const BUSY = 1_000;
const SECONDS = 5;
const LIMIT_MB = 512;

interface Held {
  name: string;
  replies: number;
  errors: string[];
  /** Undefined when it was not held until the end. */
  memory: TreeMemory | undefined;
  /** CPU time per reply, in microseconds, with opening and closing. */
  cpuMicros: number;
}

async function hold(name: string, contender: Contender, upstream: string, threads: number): Promise<Held> {
  const server = await contender.start({ upstream, threads });
  const { subject, url } = server;
  let memory: TreeMemory | undefined;
  let cpuMicros = 0;
  try {
    const before = subject.cpuMicros();
    const crowd = { url, path: "/users/17", connections: CONNECTIONS, busy: BUSY, seconds: SECONDS };
    const { replies, errors } = await holdCrowd({ ...crowd, bodyBytes: BODY_BYTES }, () => {
      memory = treeMemory(subject.pid);
      cpuMicros = subject.cpuMicros() - before;
    });
    if (subject.ended !== undefined) errors.unshift(subject.ended);
    return { name, replies, errors, memory, cpuMicros: cpuMicros / replies };
  } finally {
    await server.stop();
  }
}

function judge(held: readonly Held[]): Verdict[] {
  const two = held.find(({ name }) => name === "Sluice, 2 threads");
  if (two === undefined) return [];
  const peak = two.memory === undefined ? Number.POSITIVE_INFINITY : two.memory.peak / 2 ** 20;
  return [
    { what: `${CONNECTIONS} connections, 2 threads: errors`, value: two.errors.length, limit: 0 },
    {
      what: `${CONNECTIONS} connections, 2 threads: peak RSS of all processes`,
      value: Math.round(peak),
      limit: LIMIT_MB,
      unit: " MB",
    },
  ];
}

async function run(bench: Bench): Promise<Outcome> {
  const held: Held[] = [];
  const failed = new Map<string, string>();
  for (const contender of bench.contenders.filter(({ variant }) => !variant)) {
    for (const threads of contender.isOwn ? [2, 1] : [1]) {
      const name = contender.isOwn
        ? `${contender.name}, ${threads} thread${threads > 1 ? "s" : ""}`
        : contender.name;
      try {
        held.push(await hold(name, contender, bench.upstream.url, threads));
      } catch (error) {
        failed.set(name, (error as Error).message);
      }
    }
  }
  return {
    title: `${CONNECTIONS.toLocaleString("en")} keep-alive connections, ${BUSY.toLocaleString("en")} of them busy, ${SECONDS} s`,
    head: ["", "errors", "replies", "CPU µs/req", "RSS", "PSS", "peak RSS", "largest process"],
    rows: held.map(({ name, errors, replies, memory, cpuMicros }) => [
      name,
      String(errors.length),
      String(replies),
      cpuMicros.toFixed(1),
      ...(memory === undefined
        ? ["", "", "", ""]
        : [memory.rss, memory.pss, memory.peak, memory.largest.peak].map(megabytes)),
    ]),
    notes: held.filter(({ errors }) => errors.length > 0).map(({ name, errors }) => `${name}: ${errors[0]}`),
    verdicts: judge(held),
    failed,
    figures: { held },
  };
}

export const connections: Scenario = { name: "connections", run };
