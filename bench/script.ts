/**
 * What a script costs, as CPU time added to a request, beside what the same edits cost nginx in its own scripts, and
 * what a whole route with a script costs in terms of the yardstick (floor-proxy.ts). One gateway has a route for each
 * case; they take turns under load, a second at a time. Figures are medians over rounds.
 */
import { benchConfig, type Server, startFloor, startSluice } from "./support/gateways.ts";
import { load, loadKind } from "./support/load.ts";
import { canPin, LOAD_CORE, pinSelf } from "./support/process.ts";
import { conclude, printTable, readOptions, round, type Verdict } from "./support/report.ts";
import { jsonOf, SCRIPTS, startNjs } from "./support/scripts.ts";
import { median } from "./support/stats.ts";
import { startUpstream } from "./support/upstream.ts";

const CONNECTIONS = 64;
const WARM_UP_SECONDS = 3;
/** Rounds after which all processes are started anew. */
const ROUNDS_OF_A_PROCESS = 5;

const BREAKER = { plugin: "breaker", errorRate: "50%", minRequests: 20 };
const TRANSFORM = { plugin: "transform", request: { headers: { set: { "x-source": "gateway" } } } };

interface Case {
  readonly name: string;
  readonly pipeline: readonly object[];
  /** The case without the script, to which its cost is added. */
  readonly base?: string;
  /** Most microseconds that it may add. */
  readonly limit?: number;
  /** Largest ratio to the floor. */
  readonly ratio?: number;
}

const sized = (kilobytes: number): Case[] => {
  const respond = {
    plugin: "respond",
    headers: { "content-type": "application/json" },
    body: jsonOf(kilobytes * 1024).replace(/[{}]/g, "$&$&"), // not templates
  };
  return [
    { name: `json-${kilobytes}-bare`, pipeline: [respond] },
    {
      name: `json-${kilobytes}`,
      pipeline: [{ plugin: "json-edit", limits: { cpu: "50ms" } }, respond],
      base: `json-${kilobytes}-bare`,
    },
  ];
};

const CASES: readonly Case[] = [
  { name: "bare", pipeline: [] },
  { name: "one-hook", pipeline: [{ plugin: "one-hook" }], base: "bare", limit: 10 },
  { name: "two-hooks", pipeline: [{ plugin: "two-hooks" }], base: "bare", limit: 18 },
  { name: "async", pipeline: [{ plugin: "async" }], base: "bare" },
  { name: "whole", pipeline: [BREAKER, TRANSFORM, { plugin: "two-hooks" }], base: "bare", ratio: 1.75 },
  ...sized(1),
  ...sized(16),
  ...sized(64),
];

const options = readOptions({ rounds: 10, seconds: 1 });
pinSelf(LOAD_CORE);
const upstream = await startUpstream();
const config = benchConfig({
  threads: 1,
  upstreams: { users: { targets: [upstream.url] } },
  routes: CASES.map(({ name, pipeline }) => ({
    name,
    match: { path: `/${name}/*` },
    pipeline,
    ...(name.startsWith("json-") ? {} : { upstream: "users" }),
  })),
});
const files = Object.fromEntries(Object.entries(SCRIPTS).map(([name, text]) => [`plugins/${name}.ts`, text]));

let floor: Server | undefined;
let sluice: Server | undefined;
let njs: Server | undefined;
let failures = 0;
const NJS_CASES = ["bare", "one-hook", "two-hooks"] as const;
const samples = new Map<string, number[]>();
const stopServers = (): Promise<unknown> => Promise.all([floor?.stop(), sluice?.stop(), njs?.stop()]);

/** CPU time per request of a server, in microseconds. */
async function measure({ url, subject }: Server, path: string, seconds: number): Promise<number> {
  const before = subject.cpuMicros();
  const result = await load(`${url}/${path}/17?verbose=1`, CONNECTIONS, seconds);
  failures += result.failures;
  return (subject.cpuMicros() - before) / result.requests;
}

/** What takes turns: a name for its samples, and how to take one. */
type Turn = readonly [name: string, take: (seconds: number) => Promise<number>];

function turns(): Turn[] {
  return [
    ["floor", (seconds) => measure(floor!, "bare", seconds)],
    ...CASES.map(({ name }) => [name, (s: number) => measure(sluice!, name, s)] as [string, typeof take]),
    ...(njs === undefined
      ? []
      : NJS_CASES.map(
          (name) => [`njs ${name}`, (s: number) => measure(njs!, name, s)] as [string, typeof take],
        )),
  ];
}
declare const take: (seconds: number) => Promise<number>;

try {
  for (let i = 0; i < options.rounds; i++) {
    if (i % ROUNDS_OF_A_PROCESS === 0) {
      await stopServers();
      floor = await startFloor(upstream.url);
      sluice = await startSluice(config, { files });
      njs = await startNjs(upstream.url);
      for (const [, takeOne] of turns()) await takeOne(WARM_UP_SECONDS);
    }
    const all = turns();
    for (let at = 0; at < all.length; at++) {
      const [name, takeOne] = all[(i + at) % all.length]!;
      samples.set(name, [...(samples.get(name) ?? []), await takeOne(options.seconds)]);
    }
  }
} finally {
  await stopServers();
  await upstream.stop();
}

console.log(
  `${options.rounds} rounds of ${options.seconds} s, ${CONNECTIONS} connections, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}; load: ${loadKind}\n`,
);
const of = (name: string): number[] => samples.get(name)!;
const added = (name: string, base: string): number =>
  round(median(of(name).map((value, i) => value - of(base)[i]!)), 2);
const ratioToFloor = (name: string): number =>
  round(median(of(name).map((value, i) => value / of("floor")[i]!)));

const figures = CASES.map(({ name, base, limit, ratio }) => ({
  name,
  cpuMicros: round(median(of(name)), 2),
  ratio: ratioToFloor(name),
  added: base === undefined ? undefined : added(name, base),
  target: limit === undefined ? (ratio === undefined ? "" : `ratio <= ${ratio}`) : `added <= ${limit}`,
}));
const njsFigures =
  njs === undefined
    ? []
    : NJS_CASES.slice(1).map((name) => ({ name, added: added(`njs ${name}`, "njs bare") }));
printTable(
  ["", "CPU µs/req", "ratio to floor", "added µs", "target"],
  [
    ["floor", median(of("floor")).toFixed(2), "1.000", "", ""],
    ...figures.map((f) => [
      f.name,
      f.cpuMicros.toFixed(2),
      f.ratio.toFixed(3),
      f.added?.toFixed(2) ?? "",
      f.target,
    ]),
    ...njsFigures.map((f) => [
      `nginx + njs, ${f.name}`,
      median(of(`njs ${f.name}`)).toFixed(2),
      "",
      f.added.toFixed(2),
      "",
    ]),
  ],
);
if (njs === undefined)
  console.log("\nnginx with njs is not installed: apt-get install nginx libnginx-mod-http-js");
const verdicts: Verdict[] = CASES.flatMap(({ name, base, limit, ratio }) => [
  ...(limit === undefined || base === undefined
    ? []
    : [{ what: `${name}, added`, value: added(name, base), limit, unit: " µs" }]),
  ...(ratio === undefined ? [] : [{ what: `${name} / floor`, value: ratioToFloor(name), limit: ratio }]),
]);
verdicts.push({ what: "failed requests", value: failures, limit: 0 });
conclude("script", verdicts, { figures, njs: njsFigures, samples: Object.fromEntries(samples) }, options);
