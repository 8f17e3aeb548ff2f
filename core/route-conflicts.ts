/** Routes that nothing sets apart: they share host, path and rank, and one request could meet the conditions of both. */
import type { ValueMatch } from "./config/checked.ts";
import type { Problem } from "./errors.ts";
import type { Candidate, Routable } from "./router.ts";

/** Sorts the higher rank first. */
export function compareRank(a: Candidate<unknown>["rank"], b: Candidate<unknown>["rank"]): number {
  return b[0] - a[0] || b[1] - a[1] || b[2] - a[2];
}

/**
 * Pairs of different routes that conflict.
 * @param bucket candidates of one host and path, sorted by {@link compareRank}
 */
export function conflictsIn<T extends Routable>(bucket: readonly Candidate<T>[]): Problem[] {
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
  if (a.methods !== undefined && b.methods !== undefined && a.methods.isDisjointFrom(b.methods)) {
    if (!meetInPreflight(a, b) && !meetInPreflight(b, a)) return false;
  }
  const [x, y] = [a.route.config.match, b.route.config.match];
  return !excludes(lowerKeys(x.headers), lowerKeys(y.headers)) && !excludes(x.query ?? {}, y.query ?? {});
}

/** A preflight matches a route that lists OPTIONS, and one that answers preflights for the method asked for. */
function meetInPreflight(a: Candidate<unknown>, b: Candidate<unknown>): boolean {
  return a.methods?.has("OPTIONS") === true && b.answersPreflight;
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
