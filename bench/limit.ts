/**
 * What a limit costs. First decisions alone: one key that is always asked for, and a million, each algorithm in a process
 * of its own. Then whole stages, as CPU time added to a request: one gateway has a route with each limit and one
 * without, which take turns under load. Redis has the other core, with the load. Figures are medians over rounds.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Decisions } from "./support/limit-decisions.ts";
import { LOAD_CORE, pinSelf, SUBJECT_CORE } from "./support/process.ts";
import { startRedis } from "./support/redis.ts";
import { conclude, megabytes, printTable, readOptions, round, type Verdict } from "./support/report.ts";
import { measureStages, type StageCase } from "./support/stage-costs.ts";

const options = readOptions({ rounds: 15, seconds: 1 });
const verdicts: Verdict[] = [];

const MANY = { count: 100_000, keys: 1_000_000, limit: 1.5, megabytes: 100 };
/** How many units windows have, and how many keys are counted. Logs have room for some millions of units in all. */
const RULES = [
  { algorithm: "token-bucket", ...MANY },
  { algorithm: "fixed-window", ...MANY },
  { algorithm: "sliding-window-counter", ...MANY },
  { algorithm: "hybrid", ...MANY },
  { algorithm: "sliding-window-log", count: 100, keys: 20_000, limit: 1.5, megabytes: undefined },
  { algorithm: "sliding-window-log", count: 10_000, keys: 500, limit: undefined, megabytes: undefined },
] as const;

pinSelf(SUBJECT_CORE);
const decisions = RULES.map((rule) => {
  const { algorithm, count, keys } = rule;
  const file = join(import.meta.dirname, "support", "limit-decisions.ts");
  const args = ["--expose-gc", file, algorithm, String(count), String(keys), String(options.rounds)];
  const { stdout } = spawnSync(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const name = `${algorithm} of ${count.toLocaleString("en")}`;
  return { name, ...rule, ...(JSON.parse(String(stdout)) as Decisions) };
});
const micros = (nanos: number): string => (nanos / 1000).toFixed(2);
printTable(
  ["µs of a decision", "one key", "keys", "a new one", "one of them", "their memory", "without room"],
  decisions.map(({ name, hot, keys, fresh, known, grown, homeless }) => [
    name,
    micros(hot),
    keys.toLocaleString("en"),
    micros(fresh),
    micros(known),
    megabytes(grown),
    String(homeless),
  ]),
);
for (const { name, limit, megabytes: most, hot, grown, homeless } of decisions) {
  if (limit !== undefined)
    verdicts.push({ what: `${name}, a decision`, value: round(hot / 1000), limit, unit: " µs" });
  if (most === undefined) continue;
  const value = round(grown / 2 ** 20, 0);
  verdicts.push({ what: `${name}, a million keys`, value, limit: most, unit: " MB" });
  verdicts.push({ what: `${name}, keys without room`, value: homeless, limit: 0 });
}

/** More than can come. */
const RATE = { plugin: "limit", rate: "1000000/1s", by: "ip" };
const LOG = { ...RATE, algorithm: "sliding-window-log", rate: "100/1ms" };

const CASES: readonly StageCase[] = [
  { name: "bare", pipeline: [] },
  { name: "token-bucket", pipeline: [{ ...RATE, headers: [] }], limit: 1.5 },
  { name: "token-bucket-and-headers", pipeline: [RATE] },
  { name: "fixed-window", pipeline: [{ ...RATE, algorithm: "fixed-window", headers: [] }], limit: 1.5 },
  { name: "hybrid", pipeline: [{ ...RATE, algorithm: "hybrid", headers: [] }], limit: 1.5 },
  { name: "sliding-window-log", pipeline: [{ ...LOG, headers: [] }], limit: 1.5 },
];
const ON_REDIS: readonly StageCase[] = [
  { name: "redis", pipeline: [{ ...RATE, headers: [], store: "redis" }], limit: 25 },
  { name: "lease", pipeline: [{ ...RATE, headers: [], store: "redis", lease: {} }], limit: 5 },
];

pinSelf(LOAD_CORE);
const redis = await startRedis();
if (redis === undefined)
  console.log("\nRedis is not installed, and not measured: apt-get install redis-server");
const cases = redis === undefined ? CASES : [...CASES, ...ON_REDIS];
const config = redis === undefined ? {} : { stores: { redis: { type: "redis", url: redis.url } } };
const costs = await measureStages(cases, config, options, verdicts).finally(() => redis?.stop());
conclude("limit", verdicts, { decisions, ...costs }, options);
