/**
 * What a reply from a cache costs, beside the yardstick, which asks the upstream each time, and beside nginx's cache.
 * All run side by side and take turns under load, as in bench/floor.ts.
 */
import { benchConfig, type Server, startFloor, startSluice } from "./gateways.ts";
import { type LoadResult, load, loadKind } from "./load.ts";
import { startNginxCache } from "./nginx-cache.ts";
import { canPin } from "./process.ts";
import { printTable, round, type Verdict } from "./report.ts";
import { median } from "./stats.ts";
import { startUpstream } from "./upstream.ts";

const CONNECTIONS = 64;
const PATH = "/users/17?verbose=1";
const ETAG = '"6b1f0f7c9a5e4d2f"';
const ROUNDS_OF_A_PROCESS = 5;
const WARM_UP_SECONDS = 3;
const LIMITS = { floor: 0.5, nginx: 1.5 };

interface Sample extends LoadResult {
  readonly cpuMicros: number;
}

/** What is measured, and of which server. */
interface Case {
  readonly name: string;
  readonly server: "floor" | "nginx" | "sluice";
  readonly headers?: Readonly<Record<string, string>>;
}

const CASES: readonly Case[] = [
  { name: "floor", server: "floor" },
  { name: "nginx, a hit", server: "nginx" },
  { name: "a hit", server: "sluice" },
  { name: "a 304", server: "sluice", headers: { "If-None-Match": ETAG } },
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
  console.log(
    `${rounds} rounds of ${seconds} s, ${CONNECTIONS} connections, ${canPin ? "pinned" : "NOT pinned"}; upstream: ${upstream.kind}; load: ${loadKind}\n`,
  );
  const config = benchConfig({
    threads: 1,
    upstreams: { users: { targets: [upstream.url] } },
    routes: [
      { name: "users", match: { path: "/users/*" }, pipeline: [{ plugin: "cache" }], upstream: "users" },
    ],
  });
  const samples = new Map<string, Sample[]>();
  let servers: Partial<Record<Case["server"], Server>> = {};
  const stopServers = (): Promise<unknown> => Promise.all(Object.values(servers).map((each) => each.stop()));
  try {
    for (let i = 0; i < rounds; i++) {
      if (i % ROUNDS_OF_A_PROCESS === 0) {
        await stopServers();
        servers = {};
        servers.floor = await startFloor(upstream.url);
        servers.sluice = await startSluice(config);
        const nginx = await startNginxCache(upstream.url);
        if (nginx !== undefined) servers.nginx = nginx;
        for (const each of CASES) await measure(each, servers[each.server], WARM_UP_SECONDS);
      }
      for (let turn = 0; turn < CASES.length; turn++) {
        const each = CASES[(i + turn) % CASES.length]!;
        const sample = await measure(each, servers[each.server], seconds);
        if (sample !== undefined) samples.set(each.name, [...(samples.get(each.name) ?? []), sample]);
      }
    }
  } finally {
    await stopServers();
    await upstream.stop();
  }
  return { figures: judge(samples, verdicts), samples: Object.fromEntries(samples) };
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
  const ratio = (name: string, other: string): number => {
    const others = samples.get(other);
    if (others === undefined) return Number.NaN;
    return round(median(samples.get(name)!.map((each, i) => each.cpuMicros / others[i]!.cpuMicros)));
  };
  const figures = [...samples].map(([name, own]) => ({
    name,
    cpuMicros: round(median(own.map((each) => each.cpuMicros)), 2),
    perSecond: Math.round(median(own.map((each) => each.perSecond))),
    p50Ms: round(median(own.map((each) => each.p50Ms)), 2),
    p99Ms: round(median(own.map((each) => each.p99Ms)), 2),
    ofFloor: ratio(name, "floor"),
    ofNginx: ratio(name, "nginx, a hit"),
  }));
  printTable(
    ["", "CPU µs/req", "req/s", "p50 ms", "p99 ms", "/ floor", "/ nginx"],
    figures.map(({ name, cpuMicros, perSecond, p50Ms, p99Ms, ofFloor, ofNginx }) => [
      name,
      cpuMicros.toFixed(2),
      String(perSecond),
      p50Ms.toFixed(2),
      p99Ms.toFixed(2),
      ofFloor.toFixed(3),
      ofNginx.toFixed(3),
    ]),
  );
  for (const { name, ofFloor, ofNginx } of figures) {
    if (!name.startsWith("a ")) continue;
    verdicts.push({ what: `${name} / floor`, value: ofFloor, limit: LIMITS.floor });
    if (Number.isNaN(ofNginx)) continue; // nginx is not installed
    verdicts.push({ what: `${name} / nginx's hit`, value: ofNginx, limit: LIMITS.nginx });
  }
  return figures;
}
