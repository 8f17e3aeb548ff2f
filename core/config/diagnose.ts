/** Turns problems into diagnostics: with file, line and column, and the source line, its secrets masked. */
import type { Problem } from "../errors.ts";
import { literalRanges, MASK, type Secrets } from "./secrets.ts";
import type { Place, Source } from "./source.ts";
import { type Finding, findNode, type MapNode, type Node, walkTree } from "./tree.ts";

/** A problem and where it is. */
export interface Diagnostic extends Problem {
  /** Absolute path; absent for a configuration that was given as an object. */
  file?: string;
  /** From 1. */
  line?: number;
  /** From 1, in UTF-16 units. */
  column?: number;
  /** Column after the last character that is meant. */
  endColumn?: number;
  excerpt?: Excerpt;
}

/** A source line as it may be shown, and the part of it that is meant. */
export interface Excerpt {
  text: string;
  /** Offsets in `text`. */
  start: number;
  end: number;
}

type Range = readonly [start: number, end: number];

/** Longest source line that is shown whole. */
const MAX_WIDTH = 160;

export class Diagnoser {
  readonly #tree: MapNode;
  readonly #secrets: Secrets;
  readonly #order: ReadonlyMap<string, number>;
  readonly #fallback: Source | undefined;
  #pointers: Map<Node, string> | undefined;
  #secretRanges: Map<Source, Range[]> | undefined;

  /** @param sources files in the order in which they count; the first is the main one */
  constructor(tree: MapNode, secrets: Secrets, sources: readonly Source[]) {
    this.#tree = tree;
    this.#secrets = secrets;
    this.#order = new Map(sources.map(({ path }, i) => [path, i]));
    this.#fallback = sources[0];
  }

  /** Locates problems, sorted by place, each once. */
  diagnose(problems: readonly (Problem | Finding)[]): Diagnostic[] {
    const diagnostics = new Map<string, Diagnostic>();
    for (const problem of problems) {
      const diagnostic = this.#locate(problem);
      const { code, message, file, line, column } = diagnostic;
      const key = JSON.stringify([code, message, diagnostic.pointer, file, line, column]);
      if (!diagnostics.has(key)) diagnostics.set(key, diagnostic);
    }
    const rank = ({ file }: Diagnostic): number => (file === undefined ? -1 : (this.#order.get(file) ?? 1e9));
    const byName = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);
    return [...diagnostics.values()].sort(
      (a, b) =>
        rank(a) - rank(b) ||
        byName(a.file ?? "", b.file ?? "") ||
        (a.line ?? 0) - (b.line ?? 0) ||
        (a.column ?? 0) - (b.column ?? 0),
    );
  }

  #locate(problem: Problem | Finding): Diagnostic {
    const { code, atKey } = problem;
    const message = printable(problem.message);
    const suggestion = problem.suggestion === undefined ? undefined : printable(problem.suggestion);
    const { node, place: known, file } = problem as Finding;
    const pointer = (node === undefined ? undefined : this.#pointerOf(node)) ?? problem.pointer;
    const diagnostic: Diagnostic = { code, message, pointer };
    if (atKey !== undefined) diagnostic.atKey = atKey;
    if (suggestion !== undefined) diagnostic.suggestion = suggestion;
    if (file !== undefined) return { ...diagnostic, file };
    const place = known ?? this.#placeOf(pointer, atKey === true);
    if (place === undefined) return diagnostic;
    const { source } = place;
    const { line, column } = source.position(place.start);
    const [lineStart, lineEnd] = source.lineRange(line);
    const start = Math.min(place.start, lineEnd);
    const end = Math.min(Math.max(place.end, start + 1), Math.max(lineEnd, start + 1));
    const located = { ...diagnostic, file: source.path, line, column, endColumn: column + (end - start) };
    if (source.text.slice(lineStart, lineEnd).trim() === "") return located;
    return { ...located, excerpt: this.#excerpt(source, lineStart, lineEnd, start, end) };
  }

  #pointerOf(node: Node): string | undefined {
    this.#pointers ??= new Map([...walkTree(this.#tree)].map(([pointer, known]) => [known, pointer]));
    return this.#pointers.get(node);
  }

  /** The place to point at: a key, a value on one line, or where a longer value begins. */
  #placeOf(pointer: string, atKey: boolean): Place | undefined {
    const { node, key, exact } = findNode(this.#tree, pointer);
    if (atKey && exact && key !== undefined) return key;
    const { place } = node;
    if (node.kind === "scalar" && place !== undefined) {
      return place.end > place.start || key === undefined ? place : key;
    }
    if (exact && place !== undefined && isOneLine(place)) return place;
    if (key !== undefined) return key;
    if (node.kind === "map") {
      const [first] = node.entries.values();
      if (first?.key !== undefined) return first.key;
    }
    if (place !== undefined) return { ...place, end: place.start + 1 };
    return this.#fallback && { source: this.#fallback, start: 0, end: 1 };
  }

  #excerpt(source: Source, lineStart: number, lineEnd: number, start: number, end: number): Excerpt {
    const line = source.text.slice(lineStart, lineEnd);
    const inLine = this.#rangesOf(source)
      .filter(([from, to]) => from < lineEnd && to > lineStart)
      .map(([from, to]): Range => [Math.max(0, from - lineStart), Math.min(line.length, to - lineStart)]);
    const ranges = [...inLine, ...userinfoRanges(line)];
    if (source.broken) {
      if (this.#isBelowSecret(source.text.slice(0, lineStart), line)) ranges.push(valueRange(line));
      ranges.push(...this.#guessRanges(line));
    }
    return shorten(mask(line, ranges, start - lineStart, end - lineStart));
  }

  /** Parts of a file that are secret. */
  #rangesOf(source: Source): readonly Range[] {
    if (this.#secretRanges === undefined) {
      this.#secretRanges = new Map();
      for (const [pointer, node] of walkTree(this.#tree)) {
        if (node.kind !== "scalar" || node.place === undefined || !this.#secrets.isSecret(pointer)) continue;
        const { source: file, start, end } = node.place;
        let ranges = this.#secretRanges.get(file);
        if (ranges === undefined) this.#secretRanges.set(file, (ranges = []));
        const text = file.text.slice(start, end);
        const isQuoted = /^(["']).*\1$/s.test(text);
        const inner = isQuoted ? text.slice(1, -1) : text;
        for (const [from, to] of literalRanges(inner)) {
          const at = start + (isQuoted ? 1 : 0);
          ranges.push([at + from, at + to]);
        }
      }
    }
    return this.#secretRanges.get(source) ?? [];
  }

  /** True when a line is, by its indent, part of what a key stands for that sounds like a secret, or below it. */
  #isBelowSecret(before: string, line: string): boolean {
    // Members of a list may stand right below its key.
    let most = indentOf(line) + (line.trimStart().startsWith("-") ? 1 : 0);
    for (const above of before.split(/\r\n|\r|\n/).reverse()) {
      const indent = indentOf(above);
      if (above.trim() === "" || indent >= most) continue;
      const key = /^[\s-]*["']?([A-Za-z_][\w.-]*)["']?\s*:/.exec(above)?.[1];
      if (key !== undefined && this.#secrets.isSecretName(key)) return true;
      most = indent;
    }
    return false;
  }

  /** What follows a key that sounds like a secret, in a file that could not be parsed. */
  *#guessRanges(line: string): Generator<Range> {
    for (const { 0: whole, 1: key = "", index } of line.matchAll(/["']?([A-Za-z_][\w.-]*)["']?\s*[:=]\s*/g)) {
      if (!this.#secrets.isSecretName(key)) continue;
      const from = index + whole.length;
      const rest = line.slice(from);
      for (const [start, end] of literalRanges(rest)) {
        const text = rest.slice(start, end).replace(/[\s,}\]]+$/, "");
        if (text !== "") yield [from + start, from + start + text.length];
      }
    }
  }
}

function indentOf(line: string): number {
  return line.length - line.trimStart().length;
}

/** What a line has beside a key. */
function valueRange(line: string): Range {
  return [/^\s*(?:-\s+)*(?:["']?[A-Za-z_][\w.-]*["']?\s*:(?:\s+|$))?/.exec(line)![0].length, line.length];
}

function isOneLine({ source, start, end }: Place): boolean {
  return !/[\r\n]/.test(source.text.slice(start, end));
}

function* userinfoRanges(line: string): Generator<Range> {
  for (const { 0: whole, 1: head = "", index } of line.matchAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s"']*@/gi)) {
    yield [index + head.length, index + whole.length - 1];
  }
}

/** Replaces what a terminal would act on; the length stays. */
function neutralize(text: string): string {
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028\u2029]/g, "\ufffd");
}

function printable(text: string): string {
  return neutralize(text.length > 500 ? `${text.slice(0, 500)}…` : text);
}

/** Replaces ranges of a line, keeping track of the part that is meant. Control characters are made harmless. */
function mask(line: string, ranges: readonly Range[], start: number, end: number): Excerpt {
  const merged: [number, number][] = [];
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (to <= from) continue;
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  let text = "";
  let at = 0;
  let [shownStart, shownEnd] = [start, end];
  for (const [from, to] of merged) {
    text += line.slice(at, from);
    const shift = text.length;
    if (start >= to) shownStart += MASK.length - (to - from);
    else if (start > from) shownStart = shift;
    if (end >= to) shownEnd += MASK.length - (to - from);
    else if (end > from) shownEnd = shift + MASK.length;
    text += MASK;
    at = to;
  }
  text += line.slice(at);
  return { text: neutralize(text), start: shownStart, end: Math.max(shownEnd, shownStart + 1) };
}

/** Cuts a long line to what is around the part that is meant. */
function shorten({ text, start, end }: Excerpt): Excerpt {
  if (text.length <= MAX_WIDTH) return { text, start, end };
  const from = Math.max(0, Math.min(start - 60, text.length - MAX_WIDTH));
  const to = Math.min(text.length, from + MAX_WIDTH);
  const head = from > 0 ? "…" : "";
  const tail = to < text.length ? "…" : "";
  const shift = head.length - from;
  return { text: head + text.slice(from, to) + tail, start: start + shift, end: Math.min(end, to) + shift };
}
