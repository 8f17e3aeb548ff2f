/** Reads a configuration file and the files it includes, and joins them into one tree. */
import type { Dirent } from "node:fs";
import { glob, readdir } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { interpolateTree, type Surroundings } from "./interpolate.ts";
import { parseSource } from "./read.ts";
import { placeText, readSource, type Source, UnreadableError } from "./source.ts";
import { createMap, type Entry, type MapNode, type Node } from "./tree.ts";

/** Most files of one configuration. */
const MAX_FILES = 1000;

/** Where configuration files come from and what they are joined to. */
export interface Reading extends Surroundings {
  /** Files that could be read, in the order in which they count. */
  readonly sources: Source[];
  /** Included files, read or not: each is read once. */
  readonly included: Set<string>;
  /** Folders in which a new file would be part of the configuration, absolute. */
  readonly folders: Set<string>;
}

/** Files that are being read: the last was included by the one before it. */
type Chain = readonly string[];

/** Reads `path` and everything it includes. Problems are added to `reading.findings`. */
export async function readTree(path: string, reading: Reading): Promise<MapNode> {
  const root = createMap();
  const main = await readFile(path, reading, undefined);
  if (main !== undefined) await addPart(root, main, [path], reading);
  return root;
}

/** Reads the files that a configuration given as an object includes. */
export async function readIncludes(main: MapNode, reading: Reading): Promise<MapNode> {
  const root = createMap();
  await interpolateTree(main, reading);
  await addPart(root, main, [], reading);
  return root;
}

async function addPart(root: MapNode, part: MapNode, chain: Chain, reading: Reading): Promise<void> {
  mergeInto(root, part, reading);
  const include = part.entries.get("include")?.node;
  if (include?.kind !== "list") return;
  for (const item of include.items) {
    if (item.kind !== "scalar" || typeof item.value !== "string" || item.unresolved || item.value === "")
      continue;
    await includeEntry(root, item, item.value, chain, reading);
  }
}

async function includeEntry(
  root: MapNode,
  item: Node,
  entry: string,
  chain: Chain,
  reading: Reading,
): Promise<void> {
  const folder = chain.length === 0 ? reading.baseDir : dirname(chain.at(-1)!);
  const isGlob = /[*?[\]{}]/.test(entry);
  const paths = isGlob ? await expand(folder, entry, reading) : [resolve(folder, entry)];
  for (const path of paths) {
    if (chain.includes(path)) {
      if (isGlob) continue; // a glob beside the file itself is no mistake
      const circle = [...chain.slice(chain.indexOf(path)), path];
      const names = circle.map((file) => relative(reading.baseDir, file)).join(" -> ");
      fail(reading, item, `The file includes itself: ${names}`);
    } else if (!reading.included.has(path)) {
      if (reading.included.size >= MAX_FILES) {
        return fail(reading, item, `The configuration has more than ${MAX_FILES} files`);
      }
      const part = await readFile(path, reading, item);
      if (part !== undefined) await addPart(root, part, [...chain, path], reading);
    }
  }
}

function fail(reading: Reading, node: Node, message: string): void {
  reading.findings.push({ code: "CONFIG_INCLUDE", message, pointer: "", node, place: node.place });
}

/** Reads one file; its problems are findings. */
async function readFile(
  path: string,
  reading: Reading,
  item: Node | undefined,
): Promise<MapNode | undefined> {
  reading.files.add(path);
  reading.included.add(path);
  let source: Source;
  try {
    source = await readSource(path);
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error;
    reportUnreadable(error, path, reading, item);
    return undefined;
  }
  reading.sources.push(source);
  const before = reading.findings.length;
  const tree = parseSource(source, reading.findings);
  if (tree !== undefined) {
    await interpolateTree(tree, reading);
    return tree;
  }
  if (item === undefined && reading.findings.length === before) {
    const message = "The file is empty; a configuration starts with `apiVersion: sluice/v1`";
    reading.findings.push({
      code: "CONFIG_SYNTAX",
      message,
      pointer: "",
      place: { source, start: 0, end: 1 },
    });
  }
  return undefined;
}

function reportUnreadable(
  error: UnreadableError,
  path: string,
  reading: Reading,
  item: Node | undefined,
): void {
  if (item !== undefined && error.code === "CONFIG_NOT_FOUND") {
    return fail(
      reading,
      item,
      "There is no such file; a path counts from the folder of the file that names it",
    );
  }
  if (error.place !== undefined) {
    reading.findings.push({ code: error.code, message: error.message, pointer: "", place: error.place });
    error.place.source.broken = true;
  } else if (item !== undefined) {
    reading.findings.push({
      code: error.code,
      message: error.message,
      pointer: "",
      node: item,
      place: item.place,
    });
  } else {
    reading.findings.push({ code: error.code, message: error.message, pointer: "", file: path });
  }
}

/** Files that match, sorted, without hidden ones; remembers the folders in which more could appear. */
async function expand(folder: string, pattern: string, reading: Reading): Promise<string[]> {
  const steps = pattern.split("/");
  const fixed = steps.slice(
    0,
    Math.max(
      0,
      steps.findIndex((step) => /[*?[\]{}]/.test(step)),
    ),
  );
  const base = resolve(folder, fixed.join("/") || (pattern.startsWith("/") ? "/" : "."));
  const rest = steps.slice(fixed.length).join("/");
  await addFolders(base, rest.includes("/") ? 5 : 0, reading.folders);
  const found: string[] = [];
  const exclude = (entry: Dirent): boolean => isHidden(entry.name);
  for await (const entry of glob(rest, { cwd: base, withFileTypes: true, exclude })) {
    const path = join(entry.parentPath, entry.name);
    const hidden = relative(base, path).split("/").some(isHidden);
    if (!entry.isDirectory() && !hidden) found.push(path);
  }
  return found.sort();
}

const isHidden = (name: string): boolean =>
  (name.startsWith(".") && name !== "..") || name === "node_modules";

/** A folder and those below it, as a glob with folders in it may look into. */
async function addFolders(folder: string, depth: number, folders: Set<string>): Promise<void> {
  folders.add(folder);
  if (depth === 0) return;
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []); // missing: nothing matches
  for (const entry of entries) {
    if (entry.isDirectory() && !isHidden(entry.name)) {
      await addFolders(join(folder, entry.name), depth - 1, folders);
    }
  }
}

/** Joins a file to the whole: lists are joined, maps are merged, everything else may be there once. */
function mergeInto(root: MapNode, part: MapNode, reading: Reading): void {
  root.refused.push(...part.refused);
  for (const [key, entry] of part.entries) {
    const known = root.entries.get(key);
    if (known === undefined) {
      root.entries.set(key, { ...entry, node: copyTop(entry.node) });
    } else if (known.node.kind === "list" && entry.node.kind === "list") {
      known.node.items.push(...entry.node.items);
    } else if (known.node.kind === "map" && entry.node.kind === "map") {
      mergeMaps(key, known.node, entry.node, reading);
    } else if (!(key === "apiVersion" && sameScalar(known.node, entry.node))) {
      duplicate(root, key, key, known, entry, reading);
    }
  }
}

function mergeMaps(name: string, into: MapNode, from: MapNode, reading: Reading): void {
  into.refused.push(...from.refused);
  for (const [key, entry] of from.entries) {
    const known = into.entries.get(key);
    if (known === undefined) into.entries.set(key, entry);
    else duplicate(into, key, `${name}.${key}`, known, entry, reading);
  }
}

function duplicate(
  map: MapNode,
  key: string,
  name: string,
  first: Entry,
  second: Entry,
  reading: Reading,
): void {
  map.refused.push([key, second]);
  const { findings, baseDir } = reading;
  const where = first.key === undefined ? "in the main configuration" : `at ${placeText(first.key, baseDir)}`;
  const message = `"${name}" is defined twice; the first is ${where}`;
  findings.push({
    code: "CONFIG_DUPLICATE_NAME",
    message,
    pointer: "",
    node: second.node,
    place: second.key,
  });
}

const sameScalar = (a: Node, b: Node): boolean =>
  a.kind === "scalar" && b.kind === "scalar" && a.value === b.value;

/** A copy whose first level can grow. */
function copyTop(node: Node): Node {
  if (node.kind === "list") return { ...node, items: [...node.items] };
  if (node.kind === "map") return { ...node, entries: new Map(node.entries), refused: [...node.refused] };
  return node;
}
