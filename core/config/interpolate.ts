/** `${env:NAME}`, `${env:NAME:-default}` and `${file:PATH}` inside values; `$${` is a literal `${`. */
import { dirname, resolve } from "node:path";
import type { Place } from "./source.ts";
import { readSource, UnreadableError } from "./source.ts";
import { type Finding, type MapNode, type Node, type ScalarNode, walkTree } from "./tree.ts";

/** Largest file that `${file:…}` reads. */
const MAX_VALUE_BYTES = 1024 * 1024;

/** A `$${`, or a reference and what is in it, or a `${` that is never closed. */
const REFERENCE = /\$\$\{|\$\{([^{}]*)\}|\$\{/g;
const ENV = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/;
const FILE = /^file:([\s\S]+)$/;

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where relative paths start when the value is in no file. */
  readonly baseDir: string;
  readonly findings: Finding[];
  /** Files that were read or looked for, absolute. */
  readonly files: Set<string>;
}

/** Replaces the references in every text of a tree, in place. */
export async function interpolateTree(root: Node, around: Surroundings): Promise<void> {
  const code = new Set<Node>();
  for (const [pointer, node] of walkTree(root)) {
    // The source of a script is left as it is: there `${…}` is JavaScript's.
    const source = node.kind === "map" && isScript(node) ? node.entries.get("source")?.node : undefined;
    if (source !== undefined) code.add(source);
    if (code.has(node)) continue;
    if (node.kind === "scalar" && typeof node.value === "string" && node.value.includes("${")) {
      await interpolateScalar(node, pointer, around);
    }
  }
}

function isScript({ entries }: MapNode): boolean {
  const plugin = entries.get("plugin")?.node;
  return plugin?.kind === "scalar" && plugin.value === "script";
}

async function interpolateScalar(node: ScalarNode, pointer: string, around: Surroundings): Promise<void> {
  const written = node.value as string;
  const { findings } = around;
  const before = findings.length;
  let text = "";
  let last = 0;
  for (const [i, match] of [...written.matchAll(REFERENCE)].entries()) {
    const [whole, inner] = match;
    text += written.slice(last, match.index);
    last = match.index + whole.length;
    if (whole === "$${") {
      text += "${";
      continue;
    }
    try {
      text += await lookUp(inner, node, around);
    } catch (error) {
      if (!(error instanceof ReferenceProblem)) throw error;
      const { code, message } = error;
      findings.push({ code, message, pointer, node, place: referencePlace(node, i, whole) });
    }
  }
  node.written = written;
  if (findings.length > before) node.unresolved = true;
  else node.value = text + written.slice(last);
}

class ReferenceProblem extends Error {
  readonly code: "CONFIG_ENV_MISSING" | "CONFIG_FILE_MISSING" | "CONFIG_INTERPOLATION";

  constructor(code: ReferenceProblem["code"], message: string) {
    super(message);
    this.code = code;
  }
}

const HINT = "write ${env:NAME}, ${env:NAME:-default} or ${file:PATH}; $${ stands for a literal ${";

async function lookUp(inner: string | undefined, node: ScalarNode, around: Surroundings): Promise<string> {
  if (inner === undefined) {
    throw new ReferenceProblem(
      "CONFIG_INTERPOLATION",
      `This reference has no closing brace, or has another brace in it; ${HINT}`,
    );
  }
  const env = ENV.exec(inner);
  if (env !== null) {
    const [, name = "", fallback] = env;
    const value = Object.hasOwn(around.env, name) ? around.env[name] : undefined;
    if (value !== undefined && value !== "") return value;
    if (fallback !== undefined) return fallback;
    const state = value === "" ? "is empty" : "is not set";
    throw new ReferenceProblem(
      "CONFIG_ENV_MISSING",
      `The environment variable ${name} ${state}; set it, or give a default with \${env:${name}:-default}`,
    );
  }
  const file = FILE.exec(inner);
  if (file !== null) return readValue(file[1]!, node, around);
  throw new ReferenceProblem("CONFIG_INTERPOLATION", `This reference is not of a known form; ${HINT}`);
}

async function readValue(path: string, node: ScalarNode, around: Surroundings): Promise<string> {
  const folder = node.place === undefined ? around.baseDir : dirname(node.place.source.path);
  const absolute = resolve(folder, path);
  around.files.add(absolute);
  try {
    return (await readSource(absolute, MAX_VALUE_BYTES)).text.replace(/\r?\n$/, "");
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error;
    throw new ReferenceProblem("CONFIG_FILE_MISSING", `${error.message}: ${path}`);
  }
}

/** Where the i-th reference of a text is; the whole value when escapes hide it. */
function referencePlace(node: ScalarNode, i: number, whole: string): Place | undefined {
  const { place } = node;
  if (place === undefined) return undefined;
  const match = [...place.source.text.slice(place.start, place.end).matchAll(REFERENCE)][i];
  if (match === undefined || match[0] !== whole) return place;
  const start = place.start + match.index;
  return { ...place, start, end: start + whole.length };
}
