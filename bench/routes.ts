/**
 * What finding the route costs as routes become more: the router alone, in this process, with 10, 1,000 and
 * 10,000 routes of all kinds. The figures are medians of interleaved rounds.
 */
import type { RouteConfig } from "../core/config/checked.ts";
import { createExchange, type Exchange } from "../core/exchange.ts";
import { createRouter, type Routable, type Router } from "../core/router.ts";
import { pinSelf, SUBJECT_CORE } from "./support/process.ts";
import { conclude, printTable, readOptions, round } from "./support/report.ts";
import { median } from "./support/stats.ts";

const SIZES = [10, 1_000, 10_000] as const;
/** Requests that are looked up in turn. */
const PROBES = 1024;

const silent = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

type Match = RouteConfig["match"];

/** A route's conditions and a request that meets them: ten kinds in turn. */
const KINDS: readonly ((n: number) => { match: Match; authority?: string; target: string })[] = [
  (n) => ({ match: { path: `/exact/${n}` }, target: `/exact/${n}` }),
  (n) => ({ match: { path: `/api/v1/resource-${n}` }, target: `/api/v1/resource-${n}?page=2` }),
  (n) => ({ match: { path: `/users-${n}/:id` }, target: `/users-${n}/4711` }),
  (n) => ({ match: { path: `/shops-${n}/:shop/orders/:order` }, target: `/shops-${n}/berlin/orders/17` }),
  (n) => ({ match: { path: `/files-${n}/*` }, target: `/files-${n}/a/b/c.txt` }),
  (n) => ({ match: { path: `/deep/${n}/tree/*` }, target: `/deep/${n}/tree/leaf` }),
  (n) => ({
    match: { host: `host-${n}.example.com`, path: "/*" },
    authority: `host-${n}.example.com`,
    target: "/any/path",
  }),
  (n) => ({
    match: { host: `*.wild-${n}.example.com`, path: "/a/:b" },
    authority: `x.wild-${n}.example.com:8080`,
    target: "/a/b",
  }),
  (n) => ({ match: { path: `/methods/${n}`, methods: ["GET", "POST"] }, target: `/methods/${n}` }),
  (n) => ({ match: { path: `/query/${n}`, query: { version: "2" } }, target: `/query/${n}?version=2` }),
];

interface Case {
  readonly size: number;
  readonly router: Router<Routable>;
  readonly requests: readonly Exchange[];
  readonly buildMs: number;
  readonly nanos: number[];
}

function prepare(size: number): Case {
  const routes = Array.from({ length: size }, (_, i) => {
    const { match } = KINDS[i % KINDS.length]!(i);
    const config = { name: `route-${i}`, match, priority: 0, pointer: `/routes/${i}` };
    return { config: config as RouteConfig, answersPreflight: false };
  });
  const start = performance.now();
  const router = createRouter<Routable>(routes);
  const buildMs = performance.now() - start;
  const requests = Array.from({ length: PROBES }, (_, i) => {
    // All kinds equally often, and all routes if there are no more of them than probes.
    const n = (Math.floor((i * size) / PROBES / KINDS.length) * KINDS.length + (i % KINDS.length)) % size;
    const { target, authority = "localhost" } = KINDS[n % KINDS.length]!(n);
    const x = createExchange({ target, authority, log: silent });
    const found = router.find(x);
    if (found !== routes[n]) throw new Error(`${target} found ${found?.config.name}, not route-${n}`);
    return x;
  });
  return { size, router, requests, buildMs, nanos: [] };
}

/** Nanoseconds a lookup. */
function measure({ router, requests }: Case, seconds: number): number {
  const start = process.cpuUsage();
  const deadline = performance.now() + seconds * 1000;
  let lookups = 0;
  while (performance.now() < deadline) {
    for (const x of requests) router.find(x);
    lookups += requests.length;
  }
  const { user, system } = process.cpuUsage(start);
  return ((user + system) * 1000) / lookups;
}

const options = readOptions({ rounds: 9, seconds: 0.4 });
pinSelf(SUBJECT_CORE);
const cases = SIZES.map(prepare);
for (const one of cases) measure(one, options.seconds);
for (let i = 0; i < options.rounds; i++) {
  for (const one of cases) one.nanos.push(measure(one, options.seconds));
}

const [least] = cases;
const figures = cases.map(({ size, nanos, buildMs }) => ({
  routes: size,
  nanos: Math.round(median(nanos)),
  ratio: round(median(nanos.map((ns, i) => ns / least!.nanos[i]!))),
  buildMs: round(buildMs, 1),
}));
printTable(
  ["routes", "ns/lookup", "ratio", "build ms"],
  figures.map((f) => [f.routes.toLocaleString("en"), String(f.nanos), f.ratio.toFixed(2), String(f.buildMs)]),
);
conclude(
  "routes",
  [{ what: "10,000 routes / 10 routes", value: figures.at(-1)!.ratio, limit: 2 }],
  { sizes: figures },
  options,
);
