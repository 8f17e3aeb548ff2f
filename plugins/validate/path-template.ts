/**
 * Templates of OpenAPI paths, such as `/files/{name}.{type}`. They are matched segment by segment, from the end of each,
 * every literal as far to the right as it goes: what a greedy expression finds, but in linear time. An expression with
 * several parameters in a segment tries all the ways to divide it, which takes seconds for a path of 2,000 characters.
 */

/** What stands around the parameters of a segment: one more than there are of these. */
type Literals = readonly string[];

export class PathTemplate {
  /** Of the parameters, in their order. */
  readonly names: readonly string[];
  readonly #segments: readonly Literals[];

  constructor(template: string) {
    const parameters = /\{([^{}/]*)\}/g;
    this.names = [...template.matchAll(parameters)].map(([, name]) => name!);
    this.#segments = template
      .replaceAll(parameters, "{}")
      .split("/")
      .map((segment) => segment.split("{}"));
  }

  /** What the parameters stand for, each of one character at least; undefined for a path of another form. */
  match(path: string): readonly string[] | undefined {
    const segments = path.split("/");
    if (segments.length !== this.#segments.length) return undefined;
    const values: string[] = [];
    for (const [i, literals] of this.#segments.entries()) {
      const own = matchSegment(segments[i]!, literals);
      if (own === undefined) return undefined;
      values.push(...own);
    }
    return values;
  }
}

function matchSegment(segment: string, literals: Literals): readonly string[] | undefined {
  const [first = "", ...others] = literals;
  const last = others.pop();
  if (last === undefined) return segment === first ? [] : undefined;
  if (!segment.startsWith(first) || !segment.endsWith(last)) return undefined;
  const values: string[] = [];
  let end = segment.length - last.length;
  for (const literal of others.reverse()) {
    const latest = end - 1 - literal.length;
    const at = latest < first.length ? -1 : segment.lastIndexOf(literal, latest);
    if (at === -1) return undefined;
    values.unshift(segment.slice(at + literal.length, end));
    end = at;
  }
  return end > first.length ? [segment.slice(first.length, end), ...values] : undefined;
}
