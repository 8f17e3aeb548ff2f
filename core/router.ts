/**
 * Finds the route for a request. The most specific wins:
 *
 * 1. host: an exact name, then `*.` patterns (longest first), then routes without a host;
 * 2. path: full patterns, then regular expressions (longest source first), then prefixes; among patterns,
 *    segment by segment from the left, a literal before a param, a longer prefix before a shorter one;
 * 3. `priority`, higher first;
 * 4. more header and query conditions, then routes that list methods.
 *
 * Two routes that are equal in all of these and could match the same request are a configuration error. Whether
 * two different regular expressions could is not known: of those equal in all of these the first written wins.
 * A route whose conditions do not hold is passed over for the next best.
 */
import type { RouteConfig } from "./config/checked.ts";
import { ConfigError, type Problem } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { compileHeaders, compileQuery, compileRegex, type Predicate } from "./match.ts";
import { compileMethods } from "./methods.ts";
import {
  type Accept,
  collapseSlashes,
  comparablePath,
  decodeSegment,
  PathTrie,
  paramNames,
  pathPatternProblem,
} from "./path.ts";
import { compareRank, conflictsIn } from "./route-conflicts.ts";

/** What the router must know of a route. */
export interface Routable {
  readonly config: Pick<RouteConfig, "name" | "match" | "priority" | "pointer">;
  /** True when a stage answers CORS preflights: they match by the method they ask for. */
  readonly answersPreflight: boolean;
}

/** A route as one path holds it. */
export interface Candidate<T> {
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
  readonly regex: RegExp;
  readonly bucket: readonly [Candidate<T>];
}

/** Routes of one host. */
class HostRoutes<T extends Routable> {
  readonly trie = new PathTrie<Bucket<T>>();
  /** By path: what may conflict. */
  readonly buckets: Bucket<T>[] = [];
  readonly regexBuckets = new Map<string, Bucket<T>>();
  /** The best first. */
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
    for (const host of hostsOf(route.config, problems)) {
      try {
        addRoute(hosts, host, route, problems);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        problems.push(...error.problems);
      }
    }
  }
  for (const host of hosts.values()) {
    host.regexes.sort(compareRegexes);
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
    const comparable = comparablePath(x.path);
    const methods = new Set<string>();
    const collect = (bucket: readonly Candidate<T>[]): undefined => {
      for (const { methods: own, conditions } of bucket) {
        if (own !== undefined && conditions.every((holds) => holds(x))) for (const m of own) methods.add(m);
      }
    };
    for (const host of this.#hostsFor(x)) {
      host.trie.findFull(path, collect);
      for (const { regex, bucket } of host.regexes) if (regex.test(comparable)) collect(bucket);
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
  return (
    (host.regexes.length > 0 ? findRegex(host.regexes, x, preflight) : undefined) ??
    host.trie.findPrefix(path, accept)
  );
}

function findRegex<T extends Routable>(
  regexes: readonly RegexRoute<T>[],
  x: Exchange,
  preflight: string | undefined,
): T | undefined {
  const path = comparablePath(x.path);
  for (const { regex, bucket } of regexes) {
    const candidate = select(bucket, x, preflight);
    const match = candidate === undefined ? null : regex.exec(path);
    if (match === null) continue;
    if (match.groups !== undefined) x.params = decodeGroups(match.groups);
    return candidate!.route;
  }
  return undefined;
}

function decodeGroups(groups: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const params: Record<string, string> = {};
  for (const [name, value] of Object.entries(groups)) {
    if (value !== undefined) params[name] = decodeSegment(value);
  }
  return params;
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
function select<T>(
  bucket: readonly Candidate<T>[],
  x: Exchange,
  preflight: string | undefined,
): Candidate<T> | undefined {
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

function hostsOf(config: Routable["config"], problems: Problem[]): string[] {
  const { host } = config.match;
  if (host === undefined) return [""];
  const isList = Array.isArray(host);
  return [host].flat().flatMap((name, i) => {
    const labels = name.startsWith("*.") ? name.slice(2) : name;
    if (!/^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.|$))+$|^\[[0-9A-Fa-f:.]+\]$/.test(labels)) {
      const pointer = `${config.pointer}/match/host${isList ? `/${i}` : ""}`;
      const message = "A host is a name without port, such as api.example.com or *.example.com";
      problems.push({ code: "CONFIG_PATTERN", message, pointer });
      return [];
    }
    return [hostName(name)];
  });
}

function addRoute<T extends Routable>(
  hosts: Map<string, HostRoutes<T>>,
  name: string,
  route: T,
  problems: Problem[],
): void {
  const { config } = route;
  let host = hosts.get(name);
  if (host === undefined) hosts.set(name, (host = new HostRoutes()));
  const candidate = createCandidate(route);
  const path = config.match.path ?? "/*";
  const pointer = `${config.pointer}/match/path`;
  if (typeof path === "object" && !Array.isArray(path)) {
    const regex = compileRegex(path.regex, `${pointer}/regex`);
    host.regexes.push({ regex, bucket: [candidate] });
    let same = host.regexBuckets.get(path.regex);
    if (same === undefined) host.regexBuckets.set(path.regex, (same = createBucket(host)));
    same.push(candidate);
    return;
  }
  const isList = Array.isArray(path);
  for (const [i, pattern] of (isList ? path : [path]).entries()) {
    const problem = pathPatternProblem(pattern);
    if (problem !== undefined) {
      const at = isList ? `${pointer}/${i}` : pointer;
      problems.push({ code: "CONFIG_PATTERN", message: problem, pointer: at });
      continue;
    }
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
  const methods = match.methods && compileMethods(match.methods);
  return {
    route,
    params: [],
    methods,
    conditions: [...headers, ...query],
    answersPreflight: route.answersPreflight,
    rank: [priority, headers.length + query.length, methods === undefined ? 0 : 1],
  };
}

function compareRegexes(a: RegexRoute<unknown>, b: RegexRoute<unknown>): number {
  return b.regex.source.length - a.regex.source.length || compareRank(a.bucket[0].rank, b.bucket[0].rank);
}

function dedupe(problems: Problem[]): Problem[] {
  const seen = new Set<string>();
  return problems.filter(({ pointer, message }) => {
    const key = `${pointer}\n${message}`;
    return !seen.has(key) && seen.add(key);
  });
}
