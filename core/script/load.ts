/**
 * Makes scripts of files and texts: bundled, described by their own top level, their schemas checked. What has not
 * changed since the last time is not made again.
 */
import { createHash } from "node:crypto";
import { relative, resolve } from "node:path";
import { STAGE_KEYS } from "../config/schema.ts";
import type { Place, Source } from "../config/source.ts";
import { adoptSchema } from "../config/validate.ts";
import type { JsonSchema } from "../plugin.ts";
import { type Bundled, BundleError, Bundler, type BundleOptions, type ScriptEntry } from "./bundle.ts";
import { Fingerprint } from "./fingerprint.ts";
import type { BundleCode } from "./imports.ts";
import type { ScriptLoadError } from "./manifest.ts";
import type { ScriptBundle, ScriptManifest } from "./script.ts";

/** A script that is wanted. */
export interface ScriptRequest {
  /** Of the plugin. */
  readonly name: string;
  readonly entry: ScriptEntry;
}

/** What came of a script that is wanted. */
export interface LoadedScript {
  /** None when there are problems. */
  readonly bundle: ScriptBundle | undefined;
  readonly problems: readonly ScriptProblem[];
  /** Every file that it depends on, absolute; also those that are missing. */
  readonly inputs: readonly string[];
}

/** Why a script cannot be used. */
export interface ScriptProblem {
  readonly code: BundleCode;
  readonly message: string;
  /** In what the author wrote; absent when it is about the file as a whole. */
  readonly place: Place | undefined;
}

/**
 * Finds out what a script says of itself.
 * @throws ScriptLoadError
 */
export type Describe = (code: string, where: { file: string; map: string }) => Promise<ScriptManifest>;

/** What {@link Describe} throws for a script that is at fault: its type is loaded with the isolates only. */
type Failure = Pick<ScriptLoadError, "message" | "place" | "key">;

interface Kept {
  readonly loaded: LoadedScript;
  readonly fingerprint: Fingerprint;
}

/** Scripts that are made at the same time. */
const AT_ONCE = 8;

export class ScriptLoader {
  readonly #bundler: Bundler;
  readonly #describe: Describe;
  /** What was made for the last configuration, by request. */
  #kept = new Map<string, Kept>();
  /** What scripts of the last configuration say of themselves, by version. */
  #manifests = new Map<string, ScriptManifest>();

  constructor({ describe = describeInIsolate, bundler = new Bundler() } = {}) {
    this.#describe = describe;
    this.#bundler = bundler;
  }

  /** Makes all scripts of a configuration; those of the one before are forgotten. */
  async load(requests: readonly ScriptRequest[], options: BundleOptions): Promise<LoadedScript[]> {
    const keys = requests.map(({ name, entry }) => JSON.stringify([name, entry, options]));
    const made = new Map<string, Kept>();
    const todo = new Map(requests.map((request, i) => [keys[i]!, request])).entries();
    const work = async (): Promise<void> => {
      for (const [key, request] of todo) made.set(key, await this.#loadOne(request, key, options));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    const kept = new Map([...made].filter(([, { loaded }]) => loaded.bundle !== undefined));
    this.#kept = kept;
    const bundles = [...kept.values()].map(({ loaded }) => loaded.bundle!);
    this.#manifests = new Map(bundles.map(({ version, manifest }) => [version, manifest]));
    return keys.map((key) => made.get(key)!.loaded);
  }

  async close(): Promise<void> {
    await this.#bundler.close();
  }

  async #loadOne(request: ScriptRequest, key: string, options: BundleOptions): Promise<Kept> {
    const known = this.#kept.get(key);
    if (known !== undefined && (await known.fingerprint.holds())) return known;
    const since = Date.now();
    const loaded = await this.#make(request, options);
    return { loaded, fingerprint: await Fingerprint.take(loaded.inputs, since) };
  }

  async #make({ name, entry }: ScriptRequest, options: BundleOptions): Promise<LoadedScript> {
    let bundled: Bundled;
    try {
      bundled = await this.#bundler.bundle(entry, options);
    } catch (error) {
      if (!(error instanceof BundleError)) throw error;
      const problems = error.problems.map(({ code, message, hint, place }) => ({
        code,
        message: hint === undefined ? message : `${message}; ${hint}`,
        place,
      }));
      return { bundle: undefined, problems, inputs: error.inputs };
    }
    const { code, map, inputs } = bundled;
    const file = "file" in entry ? relative(options.baseDir, entry.file) : entry.name;
    const version = versionOf(name, code, map);
    try {
      const manifest = this.#manifests.get(version) ?? (await this.#describe(code, { file, map }));
      checkSchema(manifest.schema);
      return { bundle: { name, version, file, code, map, manifest }, problems: [], inputs };
    } catch (error) {
      if ((error as Error).name !== "ScriptLoadError") throw error;
      const { message } = error as Failure;
      const place = placeOf(error as Failure, entry, bundled, options.baseDir);
      return { bundle: undefined, problems: [{ code: "CONFIG_SCRIPT", message, place }], inputs };
    }
  }
}

/** Where lines come from is part of it: a script that moved in its file must not be blamed for lines of the old one. */
function versionOf(name: string, code: string, map: string): string {
  const { mappings } = JSON.parse(map) as { mappings: string };
  return createHash("sha256")
    .update(JSON.stringify([name, code, mappings]))
    .digest("hex");
}

async function describeInIsolate(
  code: string,
  where: { file: string; map: string },
): Promise<ScriptManifest> {
  const { readManifest } = await import("./manifest.ts");
  return readManifest(code, where);
}

/** The schema of a script's options cannot be one. */
class SchemaError extends Error {
  override readonly name = "ScriptLoadError";
  readonly place = undefined;
  readonly key = "schema";
}

/** @throws SchemaError */
function checkSchema(schema: JsonSchema): void {
  const taken = STAGE_KEYS.filter((key) => Object.hasOwn(schema.properties ?? {}, key));
  if (taken.length > 0) {
    throw new SchemaError(`An option cannot be named \`${taken[0]}\`, which is a key of every stage`);
  }
  try {
    adoptSchema(schema);
  } catch (error) {
    const [words = ""] = (error as Error).message.split(", data/");
    const plain = words.replace(/^schema is invalid: data|^strict mode: /, "");
    throw new SchemaError(`The schema is not valid: ${plain}`);
  }
}

function placeOf(
  { place, key }: Failure,
  entry: ScriptEntry,
  { sources }: Bundled,
  baseDir: string,
): Place | undefined {
  const own = "file" in entry ? relative(baseDir, entry.file) : entry.name;
  const find = (file: string): Source | undefined => sources.get(file) ?? sources.get(resolve(baseDir, file));
  if (place !== undefined) {
    const source = find(place.file);
    return source && wordAt(source, source.lineRange(place.line)[0] + place.column - 1);
  }
  const source = find(own);
  return key === undefined || source === undefined ? undefined : findKey(source, key);
}

function wordAt(source: Source, start: number): Place {
  const [word = " "] = /^[\w$]+/.exec(source.text.slice(start, start + 100)) ?? [];
  return { source, start, end: start + word.length };
}

/** Where a key of the definition is written, as far as that can be told without parsing. */
function findKey(source: Source, key: string): Place | undefined {
  const bare = source.text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, (comment) => " ".repeat(comment.length));
  const pattern =
    key === "default" ? /(?<=export\s+)default/ : new RegExp(`(?<![\\w$.])${key}(?=\\s*[:,(}])`);
  const at = pattern.exec(bare)?.index;
  return at === undefined ? undefined : { source, start: at, end: at + key.length };
}
