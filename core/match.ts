/** Conditions on requests, compiled: header and query values, paths, and a stage's `when`. */
import type { Condition, PathMatch, ValueMatch } from "./config/checked.ts";
import { ConfigError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { compileMethods } from "./methods.ts";
import { collapseSlashes, comparablePath, PathTrie, pathPatternProblem } from "./path.ts";
import { childPointer } from "./pointer.ts";

export type Predicate = (x: Exchange) => boolean;

/**
 * Compiles a regular expression of the configuration.
 * @throws ConfigError CONFIG_REGEX
 */
export function compileRegex(source: string, pointer: string): RegExp {
  try {
    return new RegExp(source);
  } catch (error) {
    throw new ConfigError((error as Error).message, pointer, "CONFIG_REGEX");
  }
}

/**
 * Compiles a condition on a value that may be absent.
 * @throws ConfigError CONFIG_REGEX
 */
export function compileValue(
  match: ValueMatch,
  pointer: string,
): (value: string | null | undefined) => boolean {
  if (typeof match === "string") return (value) => value === match;
  if (typeof match === "boolean") return (value) => (value !== undefined && value !== null) === match;
  if (Array.isArray(match)) {
    const values = new Set(match);
    return (value) => value !== undefined && value !== null && values.has(value);
  }
  const regex = compileRegex(match.regex, `${pointer}/regex`);
  return (value) => value !== undefined && value !== null && regex.test(value);
}

/** Compiles conditions on headers; all must hold. */
export function compileHeaders(matches: Record<string, ValueMatch>, pointer: string): Predicate[] {
  return Object.entries(matches).map(([name, match]) => {
    const lower = name.toLowerCase();
    const test = compileValue(match, childPointer(pointer, name));
    return (x) => test(x.headers.getJoined(lower));
  });
}

/** Compiles conditions on query parameters; all must hold. */
export function compileQuery(matches: Record<string, ValueMatch>, pointer: string): Predicate[] {
  return Object.entries(matches).map(([name, match]) => {
    const test = compileValue(match, childPointer(pointer, name));
    return (x) => test(x.query.get(name));
  });
}

/**
 * Compiles a condition on a path.
 * @throws ConfigError CONFIG_REGEX, CONFIG_PATTERN
 */
export function compilePathTest(match: PathMatch, pointer: string): (path: string) => boolean {
  if (typeof match === "object" && !Array.isArray(match)) {
    const regex = compileRegex(match.regex, `${pointer}/regex`);
    return (path) => regex.test(comparablePath(path));
  }
  const trie = new PathTrie<true>();
  const isList = Array.isArray(match);
  for (const [i, pattern] of (isList ? match : [match]).entries()) {
    const problem = pathPatternProblem(pattern);
    if (problem !== undefined)
      throw new ConfigError(problem, isList ? `${pointer}/${i}` : pointer, "CONFIG_PATTERN");
    trie.leaf(pattern, () => true);
  }
  const accept = (): true => true;
  return (given) => {
    const path = collapseSlashes(given);
    return trie.findFull(path, accept) !== undefined || trie.findPrefix(path, accept) !== undefined;
  };
}

/**
 * Compiles a stage's `when`: true for requests that the stage is for.
 * @param pointer JSON Pointer to the condition, for messages
 * @throws ConfigError CONFIG_REGEX, CONFIG_PATTERN
 */
export function compileCondition(condition: Condition, pointer = "/when"): Predicate {
  const tests: Predicate[] = [];
  const { method, path, header, query, consumer, not, all } = condition;
  if (method !== undefined) {
    const methods = compileMethods([method].flat());
    tests.push((x) => methods.has(x.originalMethod));
  }
  if (path !== undefined) {
    const test = compilePathTest(path, `${pointer}/path`);
    tests.push((x) => test(x.originalPath));
  }
  if (header !== undefined) tests.push(...compileHeaders(header, `${pointer}/header`));
  if (query !== undefined) tests.push(...compileQuery(query, `${pointer}/query`));
  if (typeof consumer === "boolean") {
    tests.push((x) => (x.consumer !== undefined) === consumer);
  } else if (consumer !== undefined) {
    const names = new Set([consumer].flat());
    tests.push((x) => x.consumer !== undefined && names.has(x.consumer.name));
  }
  if (not !== undefined) {
    const inner = compileCondition(not, `${pointer}/not`);
    tests.push((x) => !inner(x));
  }
  if (all !== undefined) tests.push(...all.map((inner) => compileCondition(inner, pointer)));
  const [first] = tests;
  if (tests.length === 1 && first !== undefined) return first;
  return (x) => {
    for (const test of tests) if (!test(x)) return false;
    return true;
  };
}
