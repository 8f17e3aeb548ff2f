/**
 * What picking a target and guarding a call costs, as added CPU time per request.
 *
 * Picks: each balance rule runs in this process on targets in memory, in turn with the yardstick, which sends to the
 * only target there is without a choice. Stages: one gateway has a route with each stage and one without any,
 * which take turns under load; two processes of one program differ by more than what is looked for. Figures are medians
 * over rounds.
 */
import { createExchange } from "../core/exchange.ts";
import { HeaderList } from "../core/headers.ts";
import type { Handler } from "../core/plugin.ts";
import { balance } from "../plugins/balance.ts";
import { benchConfig, type Server, startFloor, startSluice } from "./support/gateways.ts";
import { load, loadKind } from "./support/load.ts";
import { buildStage, MemoryUpstream } from "./support/memory-upstream.ts";
import { NO_LOG } from "./support/no-log.ts";
import { canPin, LOAD_CORE, pinSelf, SUBJECT_CORE } from "./support/process.ts";
import { conclude, printTable, readOptions, round, type Verdict } from "./support/report.ts";
import { median } from "./support/stats.ts";
import { startUpstream } from "./support/upstream.ts";

const options = readOptions({ rounds: 15, seconds: 1 });
const verdicts: Verdict[] = [];

/** Requests of one measurement of a pick. */
const PICKS = 200_000;

const RULES = [
  { strategy: "round-robin" },
  { strategy: "weighted-round-robin" },
  { strategy: "least-connections" },
  { strategy: "random" },
  { strategy: "power-of-two-choices" },
  { strategy: "ip-hash" },
  { strategy: "consistent-hash" },
  { strategy: "ewma" },
] as const;

/** Exchanges of many clients, used again and again. */
const exchanges = Array.from({ length: 1024 }, (_, i) =>
  createExchange({
    log: NO_LOG,
    target: `/users/${i}`,
    headers: new HeaderList(["host", "api.example.com", "user-agent", "bench", "accept", "*/*"]),
    clientAddress: `10.1.${i >> 8}.${i & 255}`,
  }),
);

/** CPU time per call, user and system, in microseconds. */
async function cpuMicros(handler: Handler): Promise<number> {
  const before = process.cpuUsage();
  for (let i = 0; i < PICKS; i++) await handler(exchanges[i & 1023]!);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / PICKS;
}

async function measurePicks(count: number, weights: (i: number) => number): Promise<Map<string, number[]>> {
  const unused: Handler = () => {
    throw new Error("balance ends a pipeline");
  };
  const only = new MemoryUpstream(1, () => 1);
  const handlers = new Map<string, Handler>([["yardstick", (x) => only.targets[0]!.forward(x)]]);
  for (const rule of RULES) {
    const upstream = new MemoryUpstream(count, weights);
    const handler = await buildStage(balance, { upstream: "users", ...rule }, upstream, unused);
    handlers.set(rule.strategy, handler);
  }
  for (const handler of handlers.values()) await cpuMicros(handler); // compiled by then
  const samples = new Map<string, number[]>([...handlers.keys()].map((name) => [name, []]));
  for (let i = 0; i < options.rounds; i++) {
    for (const [name, handler] of handlers) samples.get(name)!.push(await cpuMicros(handler));
  }
  return samples;
}

const added = (samples: ReadonlyMap<string, readonly number[]>, name: string, base: string): number =>
  median(samples.get(name)!.map((value, i) => value - samples.get(base)![i]!));

pinSelf(SUBJECT_CORE);
console.log(
  `picks: ${options.rounds} rounds of ${PICKS} requests, 64 under way, ${canPin ? "pinned" : "NOT pinned"}\n`,
);
const SETS = [
  { name: "10 targets", count: 10, weights: () => 1, limit: 1 },
  { name: "10 weighted", count: 10, weights: (i: number) => 1 + (i % 5), limit: 1 },
  { name: "1,000 targets", count: 1000, weights: () => 1, limit: 2 },
  { name: "1,000 weighted", count: 1000, weights: (i: number) => 1 + (i % 5), limit: 2 },
] as const;
const picks: Record<string, Record<string, number>> = {};
for (const { name, count, weights, limit } of SETS) {
  const samples = await measurePicks(count, weights);
  for (const { strategy } of RULES) {
    const value = added(samples, strategy, "yardstick");
    (picks[strategy] ??= {})[name] = round(value);
    verdicts.push({ what: `${strategy}, ${name}, added`, value, limit, unit: " µs" });
  }
}
printTable(
  ["added µs/request", ...SETS.map(({ name }) => name)],
  RULES.map(({ strategy }) => [strategy, ...SETS.map(({ name }) => picks[strategy]![name]!.toFixed(2))]),
);

const CONNECTIONS = 64;
const WARM_UP_SECONDS = 2;
/** Rounds after which the processes are started anew. */
const ROUNDS_OF_A_PROCESS = 5;

const RETRY = { plugin: "retry", attempts: 3, perTryTimeout: "2s" };
const BREAKER = { plugin: "breaker", errorRate: "50%", consecutiveFailures: 6, slowCall: "2s" };
const CONCURRENCY = { plugin: "concurrency", max: 1000, queue: 100 };
const TIMEOUT = { plugin: "timeout", after: "30s" };
/** Routes of one gateway, so that what is compared runs in the same process. */
const STAGES = [
  { name: "bare", pipeline: [], upstream: "users", limit: undefined },
  { name: "passive-health", pipeline: [], upstream: "watched", limit: undefined },
  { name: "retry", pipeline: [RETRY], upstream: "users", limit: 1 },
  { name: "breaker", pipeline: [BREAKER], upstream: "users", limit: 2 },
  { name: "concurrency", pipeline: [CONCURRENCY], upstream: "users", limit: 1 },
  { name: "timeout", pipeline: [TIMEOUT], upstream: "users", limit: undefined },
  {
    name: "all-of-them",
    pipeline: [TIMEOUT, CONCURRENCY, RETRY, BREAKER],
    upstream: "watched",
    limit: undefined,
  },
] as const;

pinSelf(LOAD_CORE);
const upstream = await startUpstream();
console.log(
  `\nstages: ${options.rounds} rounds of ${options.seconds} s, ${CONNECTIONS} connections; upstream: ${upstream.kind}; load: ${loadKind}\n`,
);
const config = benchConfig({
  upstreams: {
    users: { targets: [upstream.url] },
    watched: {
      targets: [upstream.url],
      health: { passive: { failures: 5, errorRate: "50%" } },
    },
  },
  routes: STAGES.map(({ name, pipeline, upstream: to }) => ({
    name,
    match: { path: `/${name}/*` },
    pipeline,
    upstream: to,
  })),
});
const samples = new Map<string, number[]>(
  ["floor", ...STAGES.map(({ name }) => name)].map((name) => [name, []]),
);
let failures = 0;
let floor: Server | undefined;
let sluice: Server | undefined;
const stopServers = (): Promise<unknown> => Promise.all([floor?.stop(), sluice?.stop()]);
const turn = async (name: string, seconds: number): Promise<number> => {
  const { url, subject } = (name === "floor" ? floor : sluice)!;
  const before = subject.cpuMicros();
  const result = await load(`${url}/${name}/17?verbose=1`, CONNECTIONS, seconds);
  failures += result.failures;
  return (subject.cpuMicros() - before) / result.requests;
};
const names = [...samples.keys()];
try {
  for (let i = 0; i < options.rounds; i++) {
    if (i % ROUNDS_OF_A_PROCESS === 0) {
      await stopServers();
      floor = await startFloor(upstream.url);
      sluice = await startSluice(config);
      for (const name of names) await turn(name, WARM_UP_SECONDS);
    }
    for (let at = 0; at < names.length; at++) {
      const name = names[(i + at) % names.length]!;
      samples.get(name)!.push(await turn(name, options.seconds));
    }
  }
} finally {
  await stopServers();
  await upstream.stop();
}

const ratioToFloor = (name: string): number =>
  median(samples.get(name)!.map((value, i) => value / samples.get("floor")![i]!));
const stages = STAGES.map(({ name, limit }) => ({
  name,
  limit,
  cpuMicros: round(median(samples.get(name)!), 2),
  ratio: round(ratioToFloor(name)),
  addedMicros: round(added(samples, name, "bare"), 2),
}));
printTable(
  ["", "CPU µs/req", "ratio to floor", "added µs", "target"],
  [
    ["floor", median(samples.get("floor")!).toFixed(2), "1.000", "", ""],
    ...stages.map((s) => [
      s.name,
      s.cpuMicros.toFixed(2),
      s.ratio.toFixed(3),
      s.addedMicros.toFixed(2),
      s.limit === undefined ? "" : `<= ${s.limit}`,
    ]),
  ],
);
for (const { name, limit, addedMicros } of stages) {
  if (limit !== undefined) verdicts.push({ what: `${name}, added`, value: addedMicros, limit, unit: " µs" });
}
verdicts.push({ what: "failed requests", value: failures, limit: 0 });
conclude("upstreams", verdicts, { picks, stages, samples: Object.fromEntries(samples) }, options);
