/** Request paths: what is refused, how they are compared, and patterns over their segments. */

/** Anything that makes comparing the path byte by byte unsafe: escapes, empty segments, dot segments, backslashes. */
const UNUSUAL = /%|\/\/|\/\.|\\/;
const DOT_SEGMENT = /(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=$|[/\\;]|%2f|%5c)/i;

/**
 * True when a segment is `.` or `..` (RFC 3986 section 5.2.4), plain or percent-encoded, also for those who take
 * `\`, `%2F` and `%5C` for slashes. Such a path means one thing to a gateway and another to an upstream, so it
 * is refused rather than guessed at.
 */
export function hasDotSegments(path: string): boolean {
  return UNUSUAL.test(path) && DOT_SEGMENT.test(path);
}

/** The path as patterns see it: runs of slashes are one slash. Percent-encoding is kept. */
export function collapseSlashes(path: string): string {
  return UNUSUAL.test(path) ? path.replace(/\/{2,}/g, "/") : path;
}

/**
 * The path as regular expressions see it: runs of slashes are one slash, and what needs no percent-encoding has
 * none (RFC 3986 section 6.2.2.2), so that `/%61dmin` cannot pass for another path than `/admin`.
 */
export function comparablePath(path: string): string {
  if (!UNUSUAL.test(path)) return path;
  return collapseSlashes(path).replace(/%(?:2d|2e|3\d|[46][1-9a-f]|[57][0-9a]|5f|7e)/gi, (encoded) =>
    String.fromCharCode(Number.parseInt(encoded.slice(1), 16)),
  );
}

/** Decodes a segment; one that is not valid UTF-8 stays as it is. */
export function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // compared as it came: it matches no literal, and a param keeps the wire form
  }
}

class TrieNode<T> {
  readonly literals = new Map<string, TrieNode<T>>();
  param: TrieNode<T> | undefined;
  /** What patterns that end here hold. */
  exact: T | undefined;
  /** What patterns that end here in `/*` hold. */
  prefix: T | undefined;
}

/**
 * Asked for each pattern that matches, the best first, until it gives something.
 * @param values what the params of the pattern matched, decoded, in order; valid during the call
 * @param rest what `*` matched, in wire form; undefined for a full pattern
 */
export type Accept<T, R> = (leaf: T, values: readonly string[], rest: string | undefined) => R | undefined;

/**
 * Path patterns in a tree of segments: exact `/a/b`, params `/a/:id`, prefixes `/a/*` (which match `/a` too).
 * Segment by segment from the left a literal beats a param; a longer prefix beats a shorter one.
 */
export class PathTrie<T> {
  readonly #root = new TrieNode<T>();
  readonly #values: string[] = [];
  #hasFull = false;
  #hasPrefix = false;

  /** What the pattern holds, made if it holds nothing. Names of params do not matter here. */
  leaf(pattern: string, create: () => T): T {
    const segments = pattern.slice(1).split("/");
    const isPrefix = segments.at(-1) === "*";
    if (isPrefix) segments.pop();
    let node = this.#root;
    for (const segment of segments) {
      if (segment.startsWith(":")) {
        node = node.param ??= new TrieNode();
      } else {
        const literal = decodeSegment(segment);
        let child = node.literals.get(literal);
        if (child === undefined) node.literals.set(literal, (child = new TrieNode()));
        node = child;
      }
    }
    if (isPrefix) {
      this.#hasPrefix = true;
      return (node.prefix ??= create());
    }
    this.#hasFull = true;
    return (node.exact ??= create());
  }

  /** Looks among full patterns. `path` comes from {@link collapseSlashes}. */
  findFull<R>(path: string, accept: Accept<T, R>): R | undefined {
    if (!this.#hasFull) return undefined;
    this.#values.length = 0;
    return this.#find(this.#root, path, 1, path.includes("%"), accept, false);
  }

  /** Looks among patterns that end in `/*`. */
  findPrefix<R>(path: string, accept: Accept<T, R>): R | undefined {
    if (!this.#hasPrefix) return undefined;
    this.#values.length = 0;
    return this.#find(this.#root, path, 1, path.includes("%"), accept, true);
  }

  #find<R>(
    node: TrieNode<T>,
    path: string,
    start: number,
    encoded: boolean,
    accept: Accept<T, R>,
    prefix: boolean,
  ): R | undefined {
    if (start > path.length) {
      if (!prefix) return node.exact === undefined ? undefined : accept(node.exact, this.#values, undefined);
    } else if (node.literals.size > 0 || node.param !== undefined) {
      const slash = path.indexOf("/", start);
      const end = slash === -1 ? path.length : slash;
      const raw = path.slice(start, end);
      const segment = encoded ? decodeSegment(raw) : raw;
      const literal = node.literals.get(segment);
      if (literal !== undefined) {
        const found = this.#find(literal, path, end + 1, encoded, accept, prefix);
        if (found !== undefined) return found;
      }
      if (node.param !== undefined && segment !== "") {
        this.#values.push(segment);
        const found = this.#find(node.param, path, end + 1, encoded, accept, prefix);
        if (found !== undefined) return found;
        this.#values.pop();
      }
    }
    return prefix && node.prefix !== undefined
      ? accept(node.prefix, this.#values, path.slice(start))
      : undefined;
  }
}

/** Names of the params of a pattern, in order. */
export function paramNames(pattern: string): string[] {
  return pattern
    .split("/")
    .filter((segment) => segment.startsWith(":"))
    .map((segment) => segment.slice(1));
}

/** Says what is wrong with a path pattern, or undefined when it is fine. */
export function pathPatternProblem(pattern: string): string | undefined {
  const segments = pattern.slice(1).split("/");
  const names = new Set<string>();
  for (const [i, segment] of segments.entries()) {
    const isLast = i === segments.length - 1;
    if (segment === "" && !isLast) return "A path pattern cannot have an empty segment";
    if (segment === "*" && !isLast) return "`*` can only be the last segment; use `:name` for one segment";
    if (segment !== "*" && segment.includes("*")) return "`*` must be a segment of its own, as in `/a/*`";
    if (segment.startsWith(":")) {
      const name = segment.slice(1);
      if (!/^[A-Za-z_]\w*$/.test(name))
        return `The parameter name in ${JSON.stringify(segment)} is not valid`;
      if (names.has(name)) return `The parameter :${name} appears twice`;
      names.add(name);
    } else if (segment.includes(":") && /:[A-Za-z_]\w*$/.test(segment)) {
      return "A parameter must be a whole segment, as in `/a/:id`";
    }
  }
  if (/[?#\s]/.test(pattern)) return "A path pattern has no query, fragment or spaces";
  if (hasDotSegments(pattern)) return "A path pattern cannot have `.` or `..` segments";
  return undefined;
}

/** The literal part of a prefix pattern, for `stripPrefix: true`: `/api` of `/api/*`. */
export function staticPrefix(pattern: string): string | undefined {
  return pattern.endsWith("/*") && !pattern.includes("/:") ? pattern.slice(0, -2) : undefined;
}
