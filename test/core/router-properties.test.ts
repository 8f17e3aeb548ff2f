/** The router against a slow matcher that is obviously right: every route is asked, then the best is picked. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RouteConfig, ValueMatch } from "../../core/config/checked.ts";
import { ConfigError } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import { createRouter, type Routable } from "../../core/router.ts";
import { exchange } from "../support/harness.ts";

interface Match {
  host?: string;
  path: string | { regex: string };
  methods?: string[];
  headers?: Record<string, ValueMatch>;
  query?: Record<string, ValueMatch>;
}

interface Spec {
  match: Match;
  priority: number;
  answersPreflight: boolean;
}

interface Request {
  method: string;
  host: string;
  path: string;
  headers: Record<string, string>;
  query: string;
}

/** What is known of a route that matches: where it stands, and the params it gives. */
interface Hit {
  index: number;
  /** Compared from left to right, higher first. */
  rank: number[];
  params: Record<string, string>;
}

const decode = (segment: string): string => {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
};

function hostRank(pattern: string | undefined, host: string): number | undefined {
  const name = host.replace(/:\d+$/, "").replace(/\.$/, "").toLowerCase();
  if (pattern === undefined) return 0;
  if (!pattern.startsWith("*.")) return pattern === name ? 1e6 : undefined;
  return name.endsWith(pattern.slice(1)) && name.length >= pattern.length ? pattern.length : undefined;
}

/** Rank and params of a pattern for a path, segment by segment. */
function pathRank(
  pattern: Match["path"],
  path: string,
): { rank: number[]; params: Record<string, string> } | undefined {
  const plain = path.replace(/\/+/g, "/");
  if (typeof pattern === "object") {
    const unreserved = plain.replace(/%[0-9a-f]{2}/gi, (e) => (/[\w.~-]/.test(decode(e)) ? decode(e) : e));
    const match = new RegExp(pattern.regex).exec(unreserved);
    if (match === null) return undefined;
    const groups = Object.entries(match.groups ?? {}).filter(([, value]) => value !== undefined);
    return {
      rank: [1, pattern.regex.length],
      params: Object.fromEntries(groups.map(([n, v]) => [n, decode(v)])),
    };
  }
  const wanted = pattern.split("/").slice(1);
  const isPrefix = wanted.at(-1) === "*";
  if (isPrefix) wanted.pop();
  const given = plain.split("/").slice(1);
  if (isPrefix ? given.length < wanted.length : given.length !== wanted.length) return undefined;
  const params: Record<string, string> = {};
  const rank = [isPrefix ? 0 : 2];
  for (const [i, want] of wanted.entries()) {
    const got = decode(given[i]!);
    if (want.startsWith(":")) {
      if (got === "") return undefined;
      params[want.slice(1)] = got;
      rank.push(1);
    } else if (decode(want) === got) rank.push(2);
    else return undefined;
  }
  if (isPrefix) params["*"] = given.slice(wanted.length).join("/");
  return { rank, params };
}

function holds(match: ValueMatch, value: string | undefined): boolean {
  if (typeof match === "boolean") return (value !== undefined) === match;
  if (value === undefined) return false;
  if (typeof match === "string") return value === match;
  return Array.isArray(match) ? match.includes(value) : new RegExp(match.regex).test(value);
}

function methodFits({ match, answersPreflight }: Spec, { method, headers }: Request): boolean {
  if (match.methods === undefined) return true;
  const methods = match.methods.includes("GET") ? [...match.methods, "HEAD"] : match.methods;
  const asked = headers["access-control-request-method"];
  const isPreflight = method === "OPTIONS" && headers["origin"] !== undefined && asked !== undefined;
  return methods.includes(method) || (isPreflight && answersPreflight && methods.includes(asked));
}

function hits(specs: readonly Spec[], request: Request): Hit[] {
  return specs.flatMap((spec, index) => {
    const { host, path, methods, headers = {}, query = {} } = spec.match;
    const byHost = hostRank(host, request.host);
    const byPath = pathRank(path, request.path);
    if (byHost === undefined || byPath === undefined || !methodFits(spec, request)) return [];
    const search = new URLSearchParams(request.query);
    if (!Object.entries(headers).every(([name, match]) => holds(match, request.headers[name.toLowerCase()])))
      return [];
    if (!Object.entries(query).every(([name, match]) => holds(match, search.get(name) ?? undefined)))
      return [];
    const conditions = Object.keys(headers).length + Object.keys(query).length;
    // Paths end in -1, so that a longer prefix is before a shorter one.
    const path9 = [...byPath.rank, ...Array<number>(9).fill(-1)].slice(0, 9);
    const rank = [byHost, ...path9, spec.priority, conditions, methods === undefined ? 0 : 1];
    return [{ index, rank, params: byPath.params }];
  });
}

function compare(a: Hit, b: Hit): number {
  const at = a.rank.findIndex((value, i) => value !== b.rank[i]);
  return at === -1 ? 0 : b.rank[at]! - a.rank[at]!;
}

const routables = (specs: readonly Spec[]): (Routable & { index: number })[] =>
  specs.map(({ match, priority, answersPreflight }, index) => {
    const config = {
      name: `r${index}`,
      match: match as RouteConfig["match"],
      priority,
      pointer: `/routes/${index}`,
    };
    return { config, answersPreflight, index };
  });

function exchangeOf({ method, host, path, headers, query }: Request): Exchange {
  return exchange({ method, target: path + query, headers, init: { authority: host } });
}

const segment = fc.constantFrom("a", "b", "%61", ":x", ":y");
const pattern = fc
  .tuple(
    fc.uniqueArray(segment, { maxLength: 4, selector: (s) => (s.startsWith(":") ? s : Math.random()) }),
    fc.constantFrom("", "*"),
  )
  .map(
    ([segments, last]) =>
      `/${[...segments, ...(last === "" && segments.length > 0 ? [] : [last])].join("/")}`,
  );
const regex = fc
  .constantFrom("^/a", "^/b", "^/(?<first>[^/]+)/", "a$", "^/a/b")
  .map((source) => ({ regex: source }));
const value: fc.Arbitrary<ValueMatch> = fc.oneof(
  fc.constantFrom("1", "2"),
  fc.boolean(),
  fc.subarray(["1", "2", "3"], { minLength: 1 }),
  fc.constantFrom("^1", "2$", "").map((source) => ({ regex: source })),
);
const methods = fc.subarray(["GET", "POST", "OPTIONS"], { minLength: 1 });

/** Often not there. */
const rarely = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ arbitrary: fc.constant(undefined), weight: 2 }, { arbitrary, weight: 1 });

const values = (...names: string[]): fc.Arbitrary<Record<string, ValueMatch>> =>
  fc.dictionary(fc.constantFrom(...names), value, { minKeys: 1, maxKeys: 2, noNullPrototype: true });

const spec: fc.Arbitrary<Spec> = fc
  .record({
    path: fc.oneof({ arbitrary: pattern, weight: 4 }, { arbitrary: regex, weight: 1 }),
    host: rarely(fc.constantFrom("a.test", "b.a.test", "*.test", "*.a.test")),
    methods: rarely(methods),
    headers: rarely(values("x-a", "X-B")),
    query: rarely(values("p", "q")),
    priority: fc.constantFrom(0, 0, 0, 1),
    answersPreflight: fc.boolean(),
  })
  .map(({ priority, answersPreflight, ...match }) => {
    const given = Object.entries(match).filter(([, part]) => part !== undefined);
    return { match: Object.fromEntries(given) as unknown as Match, priority, answersPreflight };
  });

const request: fc.Arbitrary<Request> = fc.record({
  method: fc.constantFrom("GET", "HEAD", "POST", "OPTIONS", "PUT"),
  host: fc.constantFrom("a.test", "A.test:80", "b.a.test.", "c.b.a.test", "z.test", "test", "other"),
  path: fc
    .array(fc.constantFrom("a", "b", "c", "%61", "%62", "%ff", "", "a%2Fb"), { maxLength: 5 })
    .map((segments) => `/${segments.join("/")}`),
  headers: fc.record(
    {
      "x-a": fc.constantFrom("1", "2", "12"),
      "x-b": fc.constantFrom("1", "2"),
      origin: fc.constant("https://a.test"),
      "access-control-request-method": fc.constantFrom("GET", "POST", "HEAD"),
    },
    { requiredKeys: [], noNullPrototype: true },
  ) as fc.Arbitrary<Record<string, string>>,
  query: fc.constantFrom("", "?p=1", "?q=2&p=1", "?q", "?p=12&p=1"),
});

const NUM_RUNS = 3000;

describe("the router", () => {
  it("finds what asking every route would find, with the same params", () => {
    let found = 0;
    fc.assert(
      fc.property(
        fc.array(spec, { minLength: 1, maxLength: 12 }),
        fc.array(request, { minLength: 5, maxLength: 20 }),
        (specs, requests) => {
          const sound = withoutConflicts(specs);
          const router = createRouter(routables(sound));
          for (const one of requests) {
            const x = exchangeOf(one);
            // Regular expressions that are equal in all else go by the order in which they are written.
            const best = hits(sound, one).sort((a, b) => compare(a, b) || a.index - b.index)[0];
            expect(router.find(x)?.index).toBe(best?.index);
            if (best === undefined) continue;
            found++;
            expect(x.params).toEqual(best.params);
          }
        },
      ),
      { numRuns: NUM_RUNS },
    );
    expect(found).toBeGreaterThan(NUM_RUNS);
  });

  it("lets no two routes pass that can both match with equal rank", () => {
    const pair = fc.tuple(spec, spec).chain(([a, b]) =>
      // Pairs that share a path and a host are the ones that matter.
      fc.constantFrom<Spec[]>([a, b], [a, { ...b, match: { ...b.match, path: a.match.path } }]),
    );
    fc.assert(
      fc.property(pair, fc.array(request, { minLength: 20, maxLength: 40 }), (specs, requests) => {
        if (conflicts(specs)) return;
        for (const one of requests) {
          const [first, second] = hits(specs, one);
          if (first === undefined || second === undefined) continue;
          const areExpressions = specs.every(({ match }) => typeof match.path === "object");
          if (!areExpressions) expect(compare(first, second)).not.toBe(0);
        }
      }),
      { numRuns: NUM_RUNS },
    );
  });

  it("refuses no two routes that no request can both match with equal rank", () => {
    // Values of one letter, so that all requests that matter can be tried.
    const values = fc.oneof(
      fc.constantFrom("1", "2"),
      fc.boolean(),
      fc.subarray(["1", "2", "3"], { minLength: 1 }),
    );
    const small = fc.record({
      match: fc.record(
        {
          path: fc.constantFrom("/a", "/:x", "/a/*"),
          methods: fc.subarray(["GET", "POST"], { minLength: 1 }),
          query: fc.dictionary(fc.constantFrom("p", "q"), values, { minKeys: 1, noNullPrototype: true }),
        },
        { requiredKeys: ["path"] },
      ),
      priority: fc.constantFrom(0, 1),
      answersPreflight: fc.constant(false),
    }) as fc.Arbitrary<Spec>;
    const all: Request[] = [];
    const options = [undefined, "1", "2", "3", "4"];
    for (const method of ["GET", "HEAD", "POST", "PUT"]) {
      for (const path of ["/a", "/b", "/a/b"]) {
        for (const p of options) {
          for (const q of options) {
            const search = new URLSearchParams({ ...(p && { p }), ...(q && { q }) });
            all.push({ method, host: "h", path, headers: {}, query: `?${search}` });
          }
        }
      }
    }
    fc.assert(
      fc.property(small, small, (a, b) => {
        const meet = all.some((one) => {
          const [first, second] = hits([a, b], one);
          return first !== undefined && second !== undefined && compare(first, second) === 0;
        });
        expect(conflicts([a, b])).toBe(meet);
      }),
      { numRuns: 500 },
    );
  });
});

function conflicts(specs: readonly Spec[]): boolean {
  try {
    createRouter(routables(specs));
    return false;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.problems.every(({ code }) => code === "CONFIG_ROUTE_CONFLICT")).toBe(true);
    return true;
  }
}

/** Leaves out every route that conflicts with one before it. */
function withoutConflicts(specs: readonly Spec[]): Spec[] {
  const sound: Spec[] = [];
  for (const one of specs) if (!conflicts([...sound, one])) sound.push(one);
  return sound;
}
