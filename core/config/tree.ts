/** A configuration as it was written: values that know their place in a file. */
import type { Problem } from "../errors.ts";
import type { ConfigCode } from "./codes.ts";
import { childPointer, parsePointer } from "../pointer.ts";
import type { Place } from "./source.ts";

export type Scalar = string | number | boolean | null;

/** A value; `place` is absent for a configuration given as an object. */
export type Node = ScalarNode | ListNode | MapNode;

export interface ScalarNode {
  readonly kind: "scalar";
  value: Scalar;
  /** The text before `${…}` in it was replaced. */
  written?: string;
  /** True when `${…}` in it could not be replaced; nothing more is said about such a value. */
  unresolved?: true;
  readonly place: Place | undefined;
}

export interface ListNode {
  readonly kind: "list";
  readonly items: Node[];
  readonly place: Place | undefined;
}

export interface MapNode {
  readonly kind: "map";
  readonly entries: Map<string, Entry>;
  /** Entries that were refused because their key was there already; kept so that their secrets are masked. */
  readonly refused: [key: string, entry: Entry][];
  readonly place: Place | undefined;
}

export interface Entry {
  readonly key: Place | undefined;
  node: Node;
}

/** A problem while it is being looked for: its place may be known before its pointer is. */
export interface Finding extends Problem {
  code: ConfigCode;
  place?: Place | undefined;
  /** The file it is about, when it has no text to point into. */
  file?: string;
  /** The node it is about; the pointer is found later. */
  node?: Node;
  /** For CONFIG_MISSING_KEY: the key. */
  missing?: string;
}

export function createMap(place?: Place): MapNode {
  return { kind: "map", entries: new Map(), refused: [], place };
}

/** The nodes of a tree with their pointers, depth first, refused entries included. */
export function* walkTree(node: Node, pointer = ""): Generator<[pointer: string, node: Node]> {
  yield [pointer, node];
  if (node.kind === "list") {
    for (const [i, item] of node.items.entries()) yield* walkTree(item, childPointer(pointer, i));
  } else if (node.kind === "map") {
    for (const [key, entry] of node.entries) yield* walkTree(entry.node, childPointer(pointer, key));
    for (const [key, entry] of node.refused) yield* walkTree(entry.node, childPointer(pointer, key));
  }
}

/** The plain value of a tree. */
export function toPlain(node: Node): unknown {
  if (node.kind === "scalar") return node.value;
  if (node.kind === "list") return node.items.map(toPlain);
  return Object.fromEntries([...node.entries].map(([key, entry]) => [key, toPlain(entry.node)]));
}

/** What was found on the way along a pointer. */
export interface Found {
  readonly node: Node;
  /** Place of the key that holds the node; absent for the root and for items of lists. */
  readonly key: Place | undefined;
  /** False when the pointer goes on to something that is not there, and this is the nearest that is. */
  readonly exact: boolean;
}

export function findNode(root: Node, pointer: string): Found {
  let found: Found = { node: root, key: undefined, exact: true };
  for (const step of parsePointer(pointer)) {
    const { node }: Found = found;
    const entry: Entry | undefined =
      node.kind === "map"
        ? node.entries.get(step)
        : node.kind === "list" && node.items[Number(step)] !== undefined
          ? { key: undefined, node: node.items[Number(step)]! }
          : undefined;
    if (entry === undefined) return { ...found, exact: false };
    found = { node: entry.node, key: entry.key, exact: true };
  }
  return found;
}

/** Deepest nesting of a configuration. */
export const MAX_DEPTH = 64;

/** Keys that a plain object cannot hold safely. */
export const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(["__proto__"]);

/** A tree of a plain value, for a configuration that was not read from a file. */
export function fromPlain(value: unknown, findings: Finding[], pointer = "", depth = 0): Node {
  const refuse = (message: string): Node => {
    findings.push({ code: "CONFIG_TYPE", message, pointer });
    return { kind: "scalar", value: null, unresolved: true, place: undefined };
  };
  if (depth > MAX_DEPTH) return refuse(`The configuration is nested deeper than ${MAX_DEPTH} levels`);
  if (value === null || ["string", "number", "boolean"].includes(typeof value)) {
    return { kind: "scalar", value: value as Scalar, place: undefined };
  }
  if (Array.isArray(value)) {
    const items = value.map((item, i) => fromPlain(item, findings, childPointer(pointer, i), depth + 1));
    return { kind: "list", items, place: undefined };
  }
  const prototype = typeof value === "object" ? Object.getPrototypeOf(value) : undefined;
  if (typeof value !== "object" || (prototype !== null && Object.getPrototypeOf(prototype) !== null)) {
    return refuse("A configuration can only hold plain data: text, numbers, booleans, lists and maps");
  }
  const map = createMap();
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const child = childPointer(pointer, key);
    if (FORBIDDEN_KEYS.has(key)) findings.push(forbiddenKey(key, child));
    else map.entries.set(key, { key: undefined, node: fromPlain(item, findings, child, depth + 1) });
  }
  return map;
}

export function forbiddenKey(key: string, pointer: string, place?: Place): Finding {
  return {
    code: "CONFIG_UNKNOWN_KEY",
    message: `The key "${key}" cannot be used`,
    pointer,
    place,
    atKey: true,
  };
}
