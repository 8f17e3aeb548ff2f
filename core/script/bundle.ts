/**
 * Makes one script of a file and what it imports. The only door to esbuild, whose process is started with the first
 * script and ended when there was nothing to do for a while.
 */
import { extname, isAbsolute, join } from "node:path";
import type { BuildFailure, BuildOptions, Message, OnResolveArgs, Plugin, PluginBuild } from "esbuild";
import { type Place, Source } from "../config/source.ts";
import { type BundleCode, BundleProblem, Imports, type Resolution, VIRTUAL } from "./imports.ts";

/** What a script is made of: a file, or a text of which messages speak by a name. */
export type ScriptEntry = { readonly file: string } | { readonly source: string; readonly name: string };

export interface BundleOptions {
  /** Folder that names in messages and source maps start from; a text imports from there. */
  readonly baseDir: string;
  /** Packages that may be imported. */
  readonly packages: readonly string[];
}

export interface Bundled {
  /** One classic script that evaluates to what the file exports. */
  readonly code: string;
  /** Source map of the code, as JSON, with the sources in it, named from `baseDir`. */
  readonly map: string;
  /** Every file that was read or looked for, absolute. */
  readonly inputs: readonly string[];
  /** What was read, by absolute path; a text by its name. */
  readonly sources: ReadonlyMap<string, Source>;
}

/** A script that cannot be bundled, with every reason. */
export class BundleError extends Error {
  override readonly name = "BundleError";
  readonly problems: readonly BundleProblem[];
  /** Every file that was read or looked for, absolute. */
  readonly inputs: readonly string[];

  constructor(problems: readonly BundleProblem[], inputs: readonly string[]) {
    super(problems.map(({ message }) => message).join("\n"));
    this.problems = problems;
    this.inputs = inputs;
  }
}

/** How long esbuild's process may have nothing to do, in milliseconds. */
const IDLE_MS = 10_000;

/** Of esbuild's process, which there is one of for all bundlers of this process. */
const service: { users: number; timer: NodeJS.Timeout | undefined } = { users: 0, timer: undefined };

export class Bundler {
  readonly #idleMs: number;

  constructor(idleMs = IDLE_MS) {
    this.#idleMs = idleMs;
  }

  /** @throws BundleError */
  async bundle(entry: ScriptEntry, options: BundleOptions): Promise<Bundled> {
    service.users++;
    clearTimeout(service.timer);
    try {
      return await bundle(entry, options);
    } finally {
      service.users--;
      if (service.users === 0) service.timer = setTimeout(() => void stopService(), this.#idleMs).unref();
    }
  }

  /** Ends esbuild's process, if nobody uses it; another script starts it again. */
  async close(): Promise<void> {
    await stopService();
  }
}

async function stopService(): Promise<void> {
  if (service.users > 0 || service.timer === undefined) return;
  clearTimeout(service.timer);
  service.timer = undefined;
  const { stop } = await import("esbuild");
  await stop();
}

/** Of the variable that holds the exports, in a function of its own. */
const EXPORTS = "sluiceScript";

async function bundle(entry: ScriptEntry, { baseDir, packages }: BundleOptions): Promise<Bundled> {
  const { build } = await import("esbuild");
  const imports = new Imports(baseDir, packages);
  const name = "file" in entry ? entry.file : entry.name;
  if ("source" in entry) imports.sources.set(name, new Source(name, entry.source));
  const options: BuildOptions = {
    ...("file" in entry
      ? { entryPoints: [entry.file] }
      : { stdin: { contents: entry.source, resolveDir: baseDir, sourcefile: name, loader: "ts" } }),
    absWorkingDir: baseDir,
    outfile: join(baseDir, "script.js"),
    write: false,
    bundle: true,
    platform: "browser",
    format: "iife",
    globalName: EXPORTS,
    // Modules are strict; esbuild leaves it to what it makes of them.
    banner: { js: '(() => { "use strict";' },
    footer: { js: `return ${EXPORTS};\n})()` },
    target: "es2024",
    charset: "utf8",
    sourcemap: "external",
    legalComments: "none",
    define: { "process.env.NODE_ENV": '"production"' },
    tsconfigRaw: {},
    logLevel: "silent",
    logOverride: { [`unsupported-dynamic-import`]: "error", "unsupported-require-call": "error" },
    plugins: [createPlugin(imports)],
  };
  try {
    const { outputFiles = [] } = await build(options);
    const [map, code] = [".map", ".js"].map((ext) => outputFiles.find(({ path }) => extname(path) === ext));
    return {
      code: code!.text,
      map: readableSources(map!.text),
      inputs: [...imports.inputs],
      sources: imports.sources,
    };
  } catch (error) {
    const { errors } = error as Partial<BuildFailure>;
    if (errors === undefined) throw error;
    const problems = errors.map((message) => toProblem(message, imports, baseDir));
    throw new BundleError(problems, [...imports.inputs]);
  }
}

function createPlugin(imports: Imports): Plugin {
  return {
    name: "sluice",
    setup(build) {
      build.onResolve({ filter: /.*/ }, (args) =>
        args.pluginData === ASKED ? undefined : imports.resolve(args, () => resolveByNpm(args, build)),
      );
      build.onLoad({ filter: /.*/, namespace: VIRTUAL }, ({ path }) => ({
        contents: path === NOTHING ? "module.exports = {};" : MODULE,
      }));
      build.onLoad({ filter: /.*/, namespace: "file" }, ({ path }) => imports.read(path));
    },
  };
}

/** What `sluice/plugin` is to a script. */
const MODULE = "export const definePlugin = (definition) => definition;";

const NOTHING = "nothing";

/** Marks look-ups of our own. */
const ASKED = Symbol("asked");

/** @returns undefined when there is nothing of that name */
async function resolveByNpm(args: OnResolveArgs, build: PluginBuild): Promise<Resolution> {
  const { path, importer, resolveDir, kind, namespace } = args;
  const found = await build.resolve(path, { importer, resolveDir, kind, namespace, pluginData: ASKED });
  if (found.errors.length > 0 || found.external) return undefined;
  // A package can say that it does without.
  return isAbsolute(found.path) ? { path: found.path } : { path: NOTHING, namespace: VIRTUAL };
}

/** A map whose sources are paths, not parts of a URL. */
function readableSources(text: string): string {
  const map = JSON.parse(text) as { sources: string[] };
  return JSON.stringify({ ...map, sources: map.sources.map((source) => decodeURIComponent(source)) });
}

/** What esbuild says, where its words are about its own options. */
const WORDS: readonly (readonly [pattern: RegExp, code: BundleCode, message: string, hint: string])[] = [
  [/^Top-level await/, "CONFIG_SCRIPT", "A script cannot `await` at its top level", "do it in a hook"],
  [
    /^This .(import|require). expression will not|^This call to .require./,
    "CONFIG_SCRIPT_IMPORT",
    "A script can only import what is written out",
    "name the file or the package, at the top of the file",
  ],
];

function toProblem(message: Message, { sources }: Imports, baseDir: string): BundleProblem {
  const place = placeOf(message, sources, baseDir);
  const { text, detail } = message;
  if (detail instanceof BundleProblem) return new BundleProblem(detail.code, text, detail.hint, place);
  for (const [pattern, code, words, hint] of WORDS) {
    if (pattern.test(text)) return new BundleProblem(code, words, hint, place);
  }
  const missing = /^Could not resolve .(.+).$/.exec(text)?.[1];
  if (missing === undefined) return new BundleProblem("CONFIG_SCRIPT", text, undefined, place);
  const hint = "install it in a `node_modules` folder beside or above the script";
  return new BundleProblem("CONFIG_SCRIPT_IMPORT", `The package "${missing}" cannot be found`, hint, place);
}

/** esbuild counts columns in bytes of UTF-8. */
function placeOf(
  { location }: Message,
  sources: ReadonlyMap<string, Source>,
  baseDir: string,
): Place | undefined {
  if (location === null) return undefined;
  const { file, line, column, length, lineText } = location;
  const source = sources.get(file) ?? sources.get(join(baseDir, file));
  if (source === undefined) return undefined;
  const bytes = Buffer.from(lineText);
  const [lineStart] = source.lineRange(line);
  const start = lineStart + bytes.subarray(0, column).toString().length;
  return { source, start, end: start + bytes.subarray(column, column + length).toString().length };
}
