/**
 * Finds the route for a request. The most specific wins:
 *
 * 1. host: an exact name, then `*.` patterns (longest first), then routes without a host;
 * 2. path: full patterns, then regular expressions (longest source first), then prefixes; among patterns,
 *    segment by segment from the left, a literal before a param, a longer prefix before a shorter one;
 * 3. `priority`, higher first;
 * 4. more header and query conditions, then routes that list methods.
 *
 * Two routes that are equal in all of these and could match the same request are a configuration error.
 * A route whose conditions do not hold is passed over for the next best.
 */
import type { RouteConfig, ValueMatch } from "./config/schema.ts";
import { ConfigError, type Problem } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { compileHeaders, compileQuery, compileRegex, type Predicate } from "./match.ts";
import { type Accept, collapseSlashes, PathTrie, paramNames, pathPatternProblem } from "./path.ts";

/** What the router must know of a route. */
export interface Routable {
  readonly config: Pick<RouteConfig, "name" | "match" | "priority" | "pointer">;
  /** True when a stage answers CORS preflights: they match by the method they ask for. */
  readonly answersPreflight: boolean;
}

interface Candidate<T> {
  readonly route: T;
  /** Names of the path's params, in order. */
  readonly params: readonly string[];
  readonly methods: ReadonlySet<string> | undefined;
  readonly conditions: readonly Predicate[];
  readonly answersPreflight: boolean;
  /** Compared from left to right, higher first. */
  readonly rank: readonly [number, number, number];
}

/** Routes that share a host and a path. */
type Bucket<T> = Candidate<T>[];

interface RegexRoute<T> {
  readonly source: string;
  readonly regex: RegExp;
  readonly bucket: Bucket<T>;
}

/** Routes of one host. */
class HostRoutes<T extends Routable> {
  readonly trie = new PathTrie<Bucket<T>>();
  readonly buckets: Bucket<T>[] = [];
  readonly regexes: RegexRoute<T>[] = [];
}

export interface Router<T> {
  /** The route for a request, with `x.params` set; undefined when there is none. */
  find(x: Exchange): T | undefined;
  /** Methods that would have matched, for 405 and `Allow`; empty when the path is unknown. */
  allowed(x: Exchange): string[];
}

/**
 * Compiles routes.
 * @throws ConfigError with every invalid pattern and every conflict
 */
export function createRouter<T extends Routable>(routes: readonly T[]): Router<T> {
  const hosts = new Map<string, HostRoutes<T>>();
  const problems: Problem[] = [];
  for (const route of routes) {
    try {
      for (const host of hostsOf(route.config)) addRoute(hosts, host, route);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.push(...error.problems);
    }
  }
  for (const host of hosts.values()) {
    host.regexes.sort((a, b) => b.source.length - a.source.length);
    for (const bucket of host.buckets) {
      bucket.sort((a, b) => compareRank(a.rank, b.rank));
      problems.push(...conflictsIn(bucket));
    }
  }
  if (problems.length > 0) throw new ConfigError(dedupe(problems));
  return new CompiledRouter(hosts);
}

class CompiledRouter<T extends Routable> implements Router<T> {
  readonly #exact = new Map<string, HostRoutes<T>>();
  readonly #wildcard = new Map<string, HostRoutes<T>>();
  readonly #any: HostRoutes<T> | undefined;
  readonly #hasHosts: boolean;

  constructor(hosts: ReadonlyMap<string, HostRoutes<T>>) {
    for (const [host, routes] of hosts) {
      if (host === "") continue;
      if (host.startsWith("*.")) this.#wildcard.set(host.slice(1), routes);
      else this.#exact.set(host, routes);
    }
    this.#any = hosts.get("");
    this.#hasHosts = this.#exact.size + this.#wildcard.size > 0;
  }

  find(x: Exchange): T | undefined {
    const path = collapseSlashes(x.path);
    const preflight = x.method === "OPTIONS" ? preflightMethod(x) : undefined;
    const accept: Accept<Bucket<T>, T> = (bucket, values, rest) => {
      const candidate = select(bucket, x, preflight);
      if (candidate === undefined) return undefined;
      if (values.length > 0 || rest !== undefined) x.params = bindParams(candidate.params, values, rest);
      return candidate.route;
    };
    if (!this.#hasHosts) return this.#any && findIn(this.#any, x, path, preflight, accept);
    for (const host of this.#hostsFor(x)) {
      const route = findIn(host, x, path, preflight, accept);
      if (route !== undefined) return route;
    }
    return undefined;
  }

  allowed(x: Exchange): string[] {
    const path = collapseSlashes(x.path);
    const methods = new Set<string>();
    const collect = (bucket: Bucket<T>): undefined => {
      for (const { methods: own, conditions } of bucket) {
        if (own !== undefined && conditions.every((holds) => holds(x))) for (const m of own) methods.add(m);
      }
    };
    for (const host of this.#hostsFor(x)) {
      host.trie.findFull(path, collect);
      for (const { regex, bucket } of host.regexes) if (regex.test(path)) collect(bucket);
      host.trie.findPrefix(path, collect);
    }
    return [...methods].sort();
  }

  *#hostsFor(x: Exchange): Generator<HostRoutes<T>> {
    if (this.#hasHosts) {
      const name = hostName(x.authority);
      const exact = this.#exact.get(name);
      if (exact !== undefined) yield exact;
      for (let dot = name.indexOf("."); dot !== -1; dot = name.indexOf(".", dot + 1)) {
        const routes = this.#wildcard.get(name.slice(dot));
        if (routes !== undefined) yield routes;
      }
    }
    if (this.#any !== undefined) yield this.#any;
  }
}

/** The host of an authority: lower case, without port and trailing dot. */
export function hostName(authority: string): string {
  const end = authority.endsWith("]") ? authority.length : authority.lastIndexOf(":");
  const host = end === -1 ? authority : authority.slice(0, end);
  return (host.endsWith(".") ? host.slice(0, -1) : host).toLowerCase();
}

function findIn<T extends Routable>(
  host: HostRoutes<T>,
  x: Exchange,
  path: string,
  preflight: string | undefined,
  accept: Accept<Bucket<T>, T>,
): T | undefined {
  const full = host.trie.findFull(path, accept);
  if (full !== undefined) return full;
  for (const { regex, bucket } of host.regexes) {
    const match = regex.exec(path);
    const candidate = match === null ? undefined : select(bucket, x, preflight);
    if (candidate === undefined) continue;
    if (match?.groups !== undefined) x.params = { ...match.groups };
    return candidate.route;
  }
  return host.trie.findPrefix(path, accept);
}

function bindParams(
  names: readonly string[],
  values: readonly string[],
  rest: string | undefined,
): Record<string, string> {
  const params: Record<string, string> = {};
  for (let i = 0; i < names.length; i++) params[names[i]!] = values[i]!;
  if (rest !== undefined) params["*"] = rest;
  return params;
}

/** The first candidate whose conditions hold. */
function select<T>(bucket: Bucket<T>, x: Exchange, preflight: string | undefined): Candidate<T> | undefined {
  next: for (const candidate of bucket) {
    const { methods, conditions, answersPreflight } = candidate;
    if (methods !== undefined && !methods.has(x.method)) {
      if (preflight === undefined || !answersPreflight || !methods.has(preflight)) continue;
    }
    for (const holds of conditions) if (!holds(x)) continue next;
    return candidate;
  }
  return undefined;
}

/** The method a CORS preflight asks for, or undefined when the request is not one (Fetch, CORS-preflight fetch). */
function preflightMethod(x: Exchange): string | undefined {
  return x.headers.has("origin") ? x.headers.get("access-control-request-method") : undefined;
}

function hostsOf(config: Routable["config"]): string[] {
  const { host } = config.match;
  if (host === undefined) return [""];
  const isList = Array.isArray(host);
  return [host].flat().map((name, i) => {
    const labels = name.startsWith("*.") ? name.slice(2) : name;
    if (!/^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.|$))+$|^\[[0-9A-Fa-f:.]+\]$/.test(labels)) {
      const pointer = `${config.pointer}/match/host${isList ? `/${i}` : ""}`;
      throw new ConfigError(
        "A host is a name without port, such as api.example.com or *.example.com",
        pointer,
        "CONFIG_PATTERN",
      );
    }
    return hostName(name);
  });
}

function addRoute<T extends Routable>(hosts: Map<string, HostRoutes<T>>, name: string, route: T): void {
  const { config } = route;
  let host = hosts.get(name);
  if (host === undefined) hosts.set(name, (host = new HostRoutes()));
  const candidate = createCandidate(route);
  const path = config.match.path ?? "/*";
  const pointer = `${config.pointer}/match/path`;
  if (typeof path === "object" && !Array.isArray(path)) {
    let same = host.regexes.find((r) => r.source === path.regex);
    if (same === undefined) {
      const regex = compileRegex(path.regex, `${pointer}/regex`);
      same = { source: path.regex, regex, bucket: createBucket(host) };
      host.regexes.push(same);
    }
    same.bucket.push(candidate);
    return;
  }
  const isList = Array.isArray(path);
  for (const [i, pattern] of (isList ? path : [path]).entries()) {
    const problem = pathPatternProblem(pattern);
    if (problem !== undefined)
      throw new ConfigError(problem, isList ? `${pointer}/${i}` : pointer, "CONFIG_PATTERN");
    const bucket = host.trie.leaf(pattern, () => createBucket(host));
    bucket.push({ ...candidate, params: paramNames(pattern) });
  }
}

function createBucket<T extends Routable>(host: HostRoutes<T>): Bucket<T> {
  const bucket: Bucket<T> = [];
  host.buckets.push(bucket);
  return bucket;
}

function createCandidate<T extends Routable>(route: T): Candidate<T> {
  const { match, priority, pointer } = route.config;
  const headers = compileHeaders(match.headers ?? {}, `${pointer}/match/headers`);
  const query = compileQuery(match.query ?? {}, `${pointer}/match/query`);
  const methods = match.methods === undefined ? undefined : new Set(match.methods);
  if (methods?.has("GET")) methods.add("HEAD");
  return {
    route,
    params: [],
    methods,
    conditions: [...headers, ...query],
    answersPreflight: route.answersPreflight,
    rank: [priority, headers.length + query.length, methods === undefined ? 0 : 1],
  };
}

function compareRank(a: Candidate<unknown>["rank"], b: Candidate<unknown>["rank"]): number {
  return b[0] - a[0] || b[1] - a[1] || b[2] - a[2];
}

function conflictsIn<T extends Routable>(bucket: Bucket<T>): Problem[] {
  const problems: Problem[] = [];
  for (let i = 0; i < bucket.length; i++) {
    for (let j = i + 1; j < bucket.length; j++) {
      const [a, b] = [bucket[i]!, bucket[j]!];
      if (compareRank(a.rank, b.rank) !== 0) break;
      if (a.route !== b.route && overlap(a, b)) {
        problems.push({
          code: "CONFIG_ROUTE_CONFLICT",
          message: `The routes "${a.route.config.name}" and "${b.route.config.name}" match the same requests; add a condition to one, or give one a higher \`priority\``,
          pointer: `${b.route.config.pointer}/match`,
        });
      }
    }
  }
  return problems;
}

/** False only when no request can meet the conditions of both. */
function overlap<T extends Routable>(a: Candidate<T>, b: Candidate<T>): boolean {
  if (a.methods !== undefined && b.methods !== undefined && a.methods.isDisjointFrom(b.methods)) return false;
  const [x, y] = [a.route.config.match, b.route.config.match];
  return !excludes(lowerKeys(x.headers), lowerKeys(y.headers)) && !excludes(x.query ?? {}, y.query ?? {});
}

function lowerKeys(matches: Record<string, ValueMatch> = {}): Record<string, ValueMatch> {
  return Object.fromEntries(Object.entries(matches).map(([name, match]) => [name.toLowerCase(), match]));
}

/** True when one name is asked to have values that cannot be the same. */
function excludes(a: Record<string, ValueMatch>, b: Record<string, ValueMatch>): boolean {
  return Object.entries(a).some(([name, match]) => {
    const other = Object.hasOwn(b, name) ? b[name] : undefined;
    return other !== undefined && (disjoint(match, other) || disjoint(other, match));
  });
}

function disjoint(a: ValueMatch, b: ValueMatch): boolean {
  if (a === false) return b !== false;
  const literals = literalsOf(a);
  if (literals === undefined) return false;
  const others = literalsOf(b);
  if (others !== undefined) return literals.every((value) => !others.includes(value));
  if (typeof b !== "object" || Array.isArray(b)) return false;
  const { regex } = b;
  return literals.every((value) => !new RegExp(regex).test(value));
}

function literalsOf(match: ValueMatch): string[] | undefined {
  if (typeof match === "string") return [match];
  return Array.isArray(match) ? match : undefined;
}

function dedupe(problems: Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems.filter(({ pointer, message }) => {
    const key = `${pointer}\n${message}`;
    return !seen.has(key) && seen.add(key);
  });
}
