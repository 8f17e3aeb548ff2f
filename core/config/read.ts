/** Parses a configuration file: YAML 1.2 core schema, or strict JSON. Everything dubious is refused with its place. */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node as YamlNode,
  parseDocument,
  type Scalar as YamlScalar,
  visit,
  type YAMLError,
} from "yaml";
import { findJsonError } from "./json.ts";
import type { Place, Source } from "./source.ts";
import {
  createMap,
  type Entry,
  type Finding,
  FORBIDDEN_KEYS,
  forbiddenKey,
  type MapNode,
  MAX_DEPTH,
  type Node,
  type Scalar,
} from "./tree.ts";

/** Most values that aliases (`*name`) may stand for, all together. */
const MAX_ALIASED = 10_000;

/** The map that a file holds: undefined when it is empty, or when it could not be parsed (then there are findings). */
export function parseSource(source: Source, findings: Finding[]): MapNode | undefined {
  const node = parseValue(source, findings);
  if (node === undefined || node.kind === "map") return node;
  if (node.kind === "scalar" && node.value === null) return undefined;
  source.broken = true;
  const kind = node.kind === "list" ? "a list" : "a single value";
  const start = node.place?.start ?? 0;
  const place = { source, start, end: node.kind === "list" ? start + 1 : (node.place?.end ?? start) };
  findings.push(syntax(`The file must be a map of keys such as \`routes:\`, but it is ${kind}`, place));
  return undefined;
}

/** What a file holds: undefined when it is empty, or when it could not be parsed (then there are findings). */
export function parseValue(source: Source, findings: Finding[]): Node | undefined {
  if (source.path.endsWith(".json")) {
    const error = findJsonError(source.text);
    if (error !== undefined) {
      source.broken = true;
      findings.push(syntax(error.message, { source, start: error.offset, end: error.offset + 1 }));
      return undefined;
    }
  }
  const document = parseDocument(source.text, {
    version: "1.2",
    schema: "core",
    merge: false,
    uniqueKeys: false, // checked below: with both places, and in linear time
    prettyErrors: false, // they quote the text, which may hold secrets
    logLevel: "error", // "silent" would let a second document pass
  });
  const [problem] = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  if (problem !== undefined) {
    source.broken = true;
    findings.push(describeYamlError(problem, document, source));
    return undefined;
  }
  if (document.contents === null) return undefined;
  const before = findings.length;
  const node = new Converter(source, findings).convert(document.contents, 0);
  if (findings.slice(before).some(({ code }) => code === "CONFIG_SYNTAX")) {
    source.broken = true;
    return undefined;
  }
  return node;
}

function syntax(message: string, place: Place): Finding {
  return { code: "CONFIG_SYNTAX", message, pointer: "", place };
}

const NO_ANCHOR = "This names no anchor that stands before it; text that starts with * must be in quotes";

/** The parser's own words for these are about its grammar, or repeat the text. */
const MESSAGES: Partial<Record<YAMLError["code"], string>> = {
  BAD_ALIAS: NO_ANCHOR,
  BAD_DIRECTIVE: "This directive is not supported",
  BAD_DQ_ESCAPE: "This escape sequence does not exist; write `\\\\` for a backslash, or use single quotes",
  BAD_SCALAR_START: "A value cannot start with this character unless it is in quotes",
  BLOCK_AS_IMPLICIT_KEY: "A value with `key: value` inside must be in quotes, or start on a line of its own",
  BLOCK_IN_FLOW: "A block of lines cannot stand between brackets",
  MULTIPLE_DOCS: "A configuration file holds one YAML document; this starts a second one",
  MULTILINE_IMPLICIT_KEY: "A key must be on one line; is a colon missing here, or a quote above?",
  RESOURCE_EXHAUSTION: "The file is nested too deeply",
  TAB_AS_INDENT: "A tab cannot indent YAML; use spaces",
  TAG_RESOLVE_FAILED: "Tags (`!name`) are not supported",
};

function describeYamlError(error: YAMLError, document: Document, source: Source): Finding {
  const { code, pos } = error;
  const { text } = source;
  const closing = /^Missing closing (.)|end with an? (.)$/.exec(error.message);
  if (closing !== null) {
    const mark = closing[1] ?? closing[2] ?? "";
    const start = findUnclosed(document, text, mark) ?? pos[0];
    return syntax(`This ${openingOf(mark)} is never closed`, { source, start, end: start + 1 });
  }
  if (text.startsWith("${", pos[0] - 1)) {
    const message = "Between brackets a text with ${…} must be in quotes";
    return syntax(message, { source, start: pos[0] - 1, end: pos[0] + 1 });
  }
  let message = MESSAGES[code];
  if (code === "BAD_INDENT" || error.message.startsWith("Sequence item without")) {
    message = "This line is not indented like those it belongs to";
  }
  message ??= /^[\w\s,:'"()[\]{}.-]{1,120}$/.test(error.message) ? error.message : "This is not valid YAML";
  const indent = /^ +(?=\S)/.exec(text.slice(pos[0]))?.[0].length ?? 0;
  const start = Math.min(pos[0] + indent, text.length);
  return syntax(message, { source, start, end: Math.max(start + 1, pos[1]) });
}

const openingOf = (mark: string): string => ({ "]": "[", "}": "{" })[mark] ?? mark;

/** Where the innermost text or list starts that should end with `mark` but does not. */
function findUnclosed(document: Document, text: string, mark: string): number | undefined {
  let found: number | undefined;
  const opening = openingOf(mark);
  visit(document, {
    Node(_key, node) {
      const [start, end] = node.range ?? [0, 0];
      if (text[start] === opening && (text[end - 1] !== mark || end - start === 1)) found = start;
    },
  });
  return found;
}

/** Turns parsed nodes into ours. */
class Converter {
  readonly #source: Source;
  readonly #findings: Finding[];
  readonly #anchors = new Map<string, YamlNode>();
  readonly #open = new Set<YamlNode>();
  #aliased = 0;
  #inAlias = 0;

  constructor(source: Source, findings: Finding[]) {
    this.#source = source;
    this.#findings = findings;
  }

  convert(node: YamlNode, depth: number): Node {
    const place = this.#placeOf(node);
    if (depth > MAX_DEPTH) return this.#refuse(`The file is nested deeper than ${MAX_DEPTH} levels`, place);
    if (isAlias(node)) return this.#convertAlias(node.source, place, depth);
    if (this.#inAlias > 0 && ++this.#aliased > MAX_ALIASED) {
      return this.#refuse(`Aliases stand for more than ${MAX_ALIASED} values`, place);
    }
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    if (isScalar(node)) return { kind: "scalar", value: this.#scalar(node), place };
    this.#open.add(node);
    try {
      if (isSeq(node)) {
        const items = node.items.map((item) => this.convert(item as YamlNode, depth + 1));
        return { kind: "list", items, place };
      }
      if (isMap(node)) {
        const pairs = node.items as unknown as YamlPair[];
        if (node.flow === true) this.#refuseCommas(pairs, place);
        return this.#convertMap(pairs, place, depth);
      }
    } finally {
      this.#open.delete(node);
    }
    return this.#refuse("This is not supported", place);
  }

  #convertMap(pairs: YamlPair[], place: Place, depth: number): MapNode {
    const map = createMap(place);
    for (const { key, value } of pairs) {
      const keyPlace = key === null ? place : this.#placeOf(key);
      if (key === null || !isScalar(key) || key.anchor !== undefined) {
        this.#refuse("A key must be plain text", keyPlace);
        continue;
      }
      const name = typeof key.value === "string" ? key.value : (key.source ?? "");
      const node: Node =
        value === null
          ? { kind: "scalar", value: null, place: { ...keyPlace, start: keyPlace.end } }
          : this.convert(value, depth + 1);
      const entry: Entry = { key: keyPlace, node };
      const first = map.entries.get(name);
      if (FORBIDDEN_KEYS.has(name)) {
        this.#findings.push({ ...forbiddenKey(name, "", keyPlace), node: map });
      } else if (first === undefined) {
        map.entries.set(name, entry);
      } else {
        map.refused.push([name, entry]);
        const { line, column } = this.#source.position(first.key?.start ?? 0);
        const message = `The key "${name}" is here twice; the first is at line ${line}, column ${column}`;
        this.#findings.push({ code: "CONFIG_DUPLICATE_KEY", message, pointer: "", node, place: keyPlace });
      }
    }
    return map;
  }

  /** What follows the comma of a text would be a key, and it may be half of a secret. */
  #refuseCommas(pairs: YamlPair[], place: Place): void {
    const at = pairs.findIndex(({ value }) => value === null);
    if (at === -1) return;
    const { key } = pairs[at]!;
    const before = pairs[at - 1]?.value;
    if (isScalar(before) && before.type === "PLAIN") {
      this.#refuse("Between brackets a text with a comma in it must be in quotes", this.#placeOf(before));
    } else this.#refuse("This key has no value", key === null ? place : this.#placeOf(key));
  }

  #convertAlias(name: string, place: Place, depth: number): Node {
    const target = this.#anchors.get(name);
    if (target === undefined) return this.#refuse(NO_ANCHOR, place);
    if (this.#open.has(target)) return this.#refuse("This alias stands inside its own anchor", place);
    if (this.#aliased > MAX_ALIASED) return { kind: "scalar", value: null, place };
    this.#inAlias++;
    try {
      const node = this.convert(target, depth + 1);
      return node.kind === "scalar" ? { ...node, place } : node;
    } finally {
      this.#inAlias--;
    }
  }

  #scalar(node: YamlScalar): Scalar {
    const { value } = node;
    if (value === null || value === undefined) return null;
    return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
      ? value
      : String(value);
  }

  #placeOf(node: YamlNode): Place {
    const [start, end] = node.range ?? [0, 0];
    return { source: this.#source, start, end };
  }

  #refuse(message: string, place: Place): Node {
    const known = this.#findings.some((f) => f.place?.source === this.#source && f.message === message);
    if (!known) this.#findings.push(syntax(message, place));
    return { kind: "scalar", value: null, place };
  }
}

interface YamlPair {
  readonly key: YamlNode | null;
  readonly value: YamlNode | null;
}
