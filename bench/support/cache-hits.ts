/**
 * What a reply from a cache costs, beside the yardstick, which asks the upstream each time, and beside nginx's cache.
 * All run side by side and take turns under load, as in bench/floor.ts.
 */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { benchConfig, type Server, startFloor, startSluice } from "./gateways.ts";
import { type LoadResult, load, loadKind } from "./load.ts";
import { startNginxCache } from "./nginx-cache.ts";
import { canPin } from "./process.ts";
import { startRedis } from "./redis.ts";
import { printTable, round, type Verdict } from "./report.ts";
import { median } from "./stats.ts";
import { startUpstream } from "./upstream.ts";

const CONNECTIONS = 64;
const PATH = "/users/17?verbose=1";
const ETAG = '"6b1f0f7c9a5e4d2f"';
const ROUNDS_OF_A_PROCESS = 5;
const WARM_UP_SECONDS = 3;

interface Sample extends LoadResult {
  readonly cpuMicros: number;
}

/** What is measured, and of which server. */
interface Case {
  readonly name: string;
  readonly server: "floor" | "nginx" | "sluice" | "stored";
  readonly headers?: Readonly<Record<string, string>>;
  /** Status and Cache-Status that replies must have. */
  readonly head: RegExp;
  /** Largest ratios that are good, by the case that it is compared with. */
  readonly limits?: Readonly<Record<string, number>>;
}

const OWN = { "If-None-Match": ETAG };
const CASES: readonly Case[] = [
  { name: "floor", server: "floor", head: /^200/ },
  { name: "nginx's hit", server: "nginx", head: /^200 HIT/ },
  { name: "nginx's 304", server: "nginx", headers: OWN, head: /^304/ },
  {
    name: "a hit",
    server: "sluice",
    head: /^200 sluice; hit/,
    limits: { floor: 0.5, "nginx's hit": 1.5 },
  },
  {
    name: "a 304",
    server: "sluice",
    headers: OWN,
    head: /^304 sluice; hit/,
    limits: { floor: 0.5 },
  },
  {
    name: "a hit in Redis",
    server: "stored",
    head: /^200 sluice; hit;.* detail=store/,
    limits: { floor: 1.25 },
  },
];

export interface HitFigures {
  readonly figures: readonly object[];
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
}

/** Measures, prints a table, and adds verdicts. */
export async function measureHits(
  { rounds, seconds }: { readonly rounds: number; readonly seconds: number },
  verdicts: Verdict[],
): Promise<HitFigures> {
  const upstream = await startUpstream({ "Cache-Control": "max-age=3600", ETag: ETAG });
  const redis = await startRedis();
  console.log(
    `${rounds} rounds of ${seconds} s, ${CONNECTIONS} connections, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}; load: ${loadKind}\n`,
  );
  const samples = new Map<string, Sample[]>();
  let servers: Servers = {};
  const stopServers = (): Promise<unknown> => Promise.all(Object.values(servers).map((each) => each?.stop()));
  try {
    for (let i = 0; i < rounds; i++) {
      if (i % ROUNDS_OF_A_PROCESS === 0) {
        await stopServers();
        servers = {
          floor: await startFloor(upstream.url),
          nginx: await startNginxCache(upstream.url),
          sluice: await startCache(upstream.url, {}),
          stored: redis && (await startCache(upstream.url, ONLY_STORE, redis.url)),
        };
        for (const each of CASES) await warmUp(each, servers[each.server]);
      }
      for (let turn = 0; turn < CASES.length; turn++) {
        const each = CASES[(i + turn) % CASES.length]!;
        const sample = await measure(each, servers[each.server], seconds);
        if (sample !== undefined) samples.set(each.name, [...(samples.get(each.name) ?? []), sample]);
      }
    }
  } finally {
    await stopServers();
    await redis?.stop();
    await upstream.stop();
  }
  return { figures: judge(samples, verdicts), samples: Object.fromEntries(samples) };
}

/** Servers that cannot be started here are left out. */
type Servers = Partial<Record<Case["server"], Server | undefined>>;

/** Nothing fits into memory, and nobody waits for what another finds. */
const ONLY_STORE = { store: "main", memory: { max: "1KB" }, coalesce: { waiting: 0 } };

function startCache(upstream: string, options: object, redis?: string): Promise<Server> {
  return startSluice(
    benchConfig({
      threads: 1,
      ...(redis === undefined ? {} : { stores: { main: { type: "redis", url: redis } } }),
      upstreams: { users: { targets: [upstream] } },
      routes: [
        {
          name: "users",
          match: { path: "/users/*" },
          pipeline: [{ plugin: "cache", ...options }],
          upstream: "users",
        },
      ],
    }),
  );
}

/** @throws Error when the case does not measure what it says */
async function warmUp(each: Case, server: Server | undefined): Promise<void> {
  if (server === undefined) return;
  await measure(each, server, WARM_UP_SECONDS);
  const [reply] = (await once(get(server.url + PATH, { headers: each.headers }), "response")) as [
    IncomingMessage,
  ];
  reply.resume();
  const { statusCode, headers } = reply;
  const head = `${statusCode} ${headers["x-cache"] ?? headers["cache-status"] ?? ""}`;
  if (!each.head.test(head)) throw new Error(`${each.name}: ${head}`);
}

async function measure(
  { headers, name }: Case,
  server: Server | undefined,
  seconds: number,
): Promise<Sample | undefined> {
  if (server === undefined) return undefined;
  const { url, subject } = server;
  const before = subject.cpuMicros();
  const result = await load(url + PATH, CONNECTIONS, seconds, 0, headers);
  if (result.failures > 0) throw new Error(`${name}: ${result.failures} requests failed`);
  return { ...result, cpuMicros: (subject.cpuMicros() - before) / result.requests };
}

function judge(samples: ReadonlyMap<string, readonly Sample[]>, verdicts: Verdict[]): object[] {
  const ratio = (name: string, other: string): number | undefined => {
    const others = samples.get(other);
    if (others === undefined) return undefined;
    return round(median(samples.get(name)!.map((each, i) => each.cpuMicros / others[i]!.cpuMicros)));
  };
  const figures = CASES.filter(({ name }) => samples.has(name)).map(({ name, limits = {} }) => {
    const own = samples.get(name)!;
    return {
      name,
      cpuMicros: round(median(own.map((each) => each.cpuMicros)), 2),
      perSecond: Math.round(median(own.map((each) => each.perSecond))),
      p50Ms: round(median(own.map((each) => each.p50Ms)), 2),
      p99Ms: round(median(own.map((each) => each.p99Ms)), 2),
      ofFloor: ratio(name, "floor")!,
      others: Object.entries(limits).map(([other, limit]) => ({ other, limit, value: ratio(name, other) })),
    };
  });
  printTable(
    ["", "CPU µs/req", "req/s", "p50 ms", "p99 ms", "/ floor"],
    figures.map(({ name, cpuMicros, perSecond, p50Ms, p99Ms, ofFloor }) => [
      name,
      cpuMicros.toFixed(2),
      String(perSecond),
      p50Ms.toFixed(2),
      p99Ms.toFixed(2),
      ofFloor.toFixed(3),
    ]),
  );
  for (const { name, others } of figures) {
    for (const { other, limit, value } of others) {
      if (value !== undefined) verdicts.push({ what: `${name} / ${other}`, value, limit });
    }
  }
  return figures;
}
