/**
 * What a request through Sluice costs, as CPU time per request relative to the yardstick (floor-proxy.ts) in the
 * same run. All processes run side by side and take turns under load, a second at a time, so that whatever else
 * the machine does hits all alike; every few rounds they are started anew, because two runs of one program are
 * not compiled the same. Figures are medians over rounds; a ratio is the median of each round's own ratio.
 */
import { benchConfig, type Server, startFloor, startSluice } from "./support/gateways.ts";
import { type LoadResult, load, loadKind } from "./support/load.ts";
import { canPin, LOAD_CORE, pinSelf } from "./support/process.ts";
import { conclude, megabytes, printTable, readOptions, round, type Verdict } from "./support/report.ts";
import { median } from "./support/stats.ts";
import { BODY_BYTES, startUpstream } from "./support/upstream.ts";

const CONNECTIONS = 64;
const PATH = "/users/17?verbose=1";
/** Rounds after which all processes are started anew. */
const ROUNDS_OF_A_PROCESS = 5;
const WARM_UP_SECONDS = 3;

interface Sample extends LoadResult {
  cpuMicros: number;
  rss: number;
}

interface Contender {
  readonly name: string;
  /** Largest ratio that is good; undefined when nothing is asked of it. */
  readonly limit: number | undefined;
  start(upstream: string): Promise<Server>;
}

const proxied = (upstream: string, pipeline: object[], access = false): object =>
  benchConfig({
    log: { access, format: "json" },
    upstreams: { users: { targets: [upstream] } },
    routes: [{ name: "users", match: { path: "/users/*" }, pipeline, upstream: "users" }],
  });

const TRANSFORM = {
  plugin: "transform",
  request: { headers: { set: { "x-tenant": "acme", "x-source": "gateway" } } },
  response: { headers: { set: { "x-served-by": "sluice" } } },
};
const RESPOND = {
  plugin: "respond",
  headers: { "content-type": "application/json" },
  body: "x".repeat(BODY_BYTES),
};

const CONTENDERS: readonly Contender[] = [
  { name: "floor", limit: undefined, start: startFloor },
  { name: "bare route", limit: 1.15, start: (upstream) => startSluice(proxied(upstream, [])) },
  { name: "transform", limit: 1.25, start: (upstream) => startSluice(proxied(upstream, [TRANSFORM])) },
  {
    name: "respond",
    limit: 0.5,
    start: () =>
      startSluice(
        benchConfig({ routes: [{ name: "fixed", match: { path: "/users/*" }, pipeline: [RESPOND] }] }),
      ),
  },
  { name: "access log", limit: undefined, start: (upstream) => startSluice(proxied(upstream, [], true)) },
];

async function measure({ url, subject }: Server, seconds: number): Promise<Sample> {
  const before = subject.cpuMicros();
  const result = await load(url + PATH, CONNECTIONS, seconds);
  const cpuMicros = (subject.cpuMicros() - before) / result.requests;
  return { ...result, cpuMicros, rss: subject.rss() };
}

const options = readOptions({ rounds: 15, seconds: 1 });
pinSelf(LOAD_CORE);
const upstream = await startUpstream();
console.log(
  `${options.rounds} rounds of ${options.seconds} s, ${CONNECTIONS} connections, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}; load: ${loadKind}\n`,
);
const samples = new Map<string, Sample[]>(CONTENDERS.map(({ name }) => [name, []]));
let servers: Server[] = [];
const stopServers = (): Promise<unknown> => Promise.all(servers.map((server) => server.stop()));
try {
  for (let i = 0; i < options.rounds; i++) {
    if (i % ROUNDS_OF_A_PROCESS === 0) {
      await stopServers();
      servers = [];
      for (const contender of CONTENDERS) {
        const server = await contender.start(upstream.url);
        servers.push(server);
        await load(server.url + PATH, CONNECTIONS, WARM_UP_SECONDS);
      }
    }
    for (let turn = 0; turn < CONTENDERS.length; turn++) {
      const at = (i + turn) % CONTENDERS.length;
      samples.get(CONTENDERS[at]!.name)!.push(await measure(servers[at]!, options.seconds));
    }
  }
} finally {
  await stopServers();
  await upstream.stop();
}

const floors = samples.get("floor")!;
const figures = CONTENDERS.map(({ name, limit }) => {
  const own = samples.get(name)!;
  const of = (pick: (sample: Sample) => number): number => median(own.map(pick));
  return {
    name,
    limit,
    cpuMicros: round(
      of((s) => s.cpuMicros),
      2,
    ),
    perSecond: Math.round(of((s) => s.perSecond)),
    p50Ms: round(
      of((s) => s.p50Ms),
      2,
    ),
    p99Ms: round(
      of((s) => s.p99Ms),
      2,
    ),
    rss: of((s) => s.rss),
    ratio: round(median(own.map((s, i) => s.cpuMicros / floors[i]!.cpuMicros))),
    failures: own.reduce((sum, s) => sum + s.failures, 0),
  };
});
printTable(
  ["", "CPU µs/req", "req/s", "p50 ms", "p99 ms", "RSS", "ratio", "target"],
  figures.map((f) => [
    f.name,
    f.cpuMicros.toFixed(2),
    String(f.perSecond),
    f.p50Ms.toFixed(2),
    f.p99Ms.toFixed(2),
    megabytes(f.rss),
    f.ratio.toFixed(3),
    f.limit === undefined ? "" : `<= ${f.limit}`,
  ]),
);
const verdicts: Verdict[] = figures.flatMap(({ name, limit, ratio }) =>
  limit === undefined ? [] : [{ what: `${name} / floor`, value: ratio, limit }],
);
verdicts.push({ what: "failed requests", value: figures.reduce((sum, f) => sum + f.failures, 0), limit: 0 });
conclude("floor", verdicts, { contenders: figures, samples: Object.fromEntries(samples) }, options);
