/** What scripts may import: finds and reads it, in the terms of esbuild. */
import { readFile, stat } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { dirname, extname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { type Place, Source } from "../config/source.ts";

export type BundleCode = "CONFIG_SCRIPT" | "CONFIG_SCRIPT_IMPORT";

/** One reason why a script cannot be bundled. */
export class BundleProblem {
  readonly code: BundleCode;
  readonly message: string;
  /** What to do. */
  readonly hint: string | undefined;
  readonly place: Place | undefined;

  constructor(code: BundleCode, message: string, hint?: string, place?: Place) {
    this.code = code;
    this.message = message;
    this.hint = hint;
    this.place = place;
  }
}

/** An import, as it is written. */
export interface ImportRequest {
  readonly path: string;
  readonly kind: string;
  readonly importer: string;
  /** Folder of the importer. */
  readonly resolveDir: string;
}

/** Where an import leads; undefined for where npm's rules lead. */
export type Resolution = { path: string; namespace?: string } | Refusal | undefined;

/** An error where the import is. */
export interface Refusal {
  readonly errors: { text: string; detail: BundleProblem }[];
}

/** A file as it is bundled. */
export interface Module {
  readonly contents: string;
  readonly loader: Loader;
  readonly resolveDir: string;
}

type Loader = "ts" | "js" | "json";

/** Where modules are that are no files. */
export const VIRTUAL = "sluice";

/** How files are read, by extension; others cannot be imported. */
const LOADERS: Readonly<Record<string, Loader>> = {
  ".ts": "ts",
  ".mts": "ts",
  ".cts": "ts",
  ".js": "js",
  ".mjs": "js",
  ".cjs": "js",
  ".json": "json",
};

/** What an import without extension may stand for. */
const ENDINGS = [".ts", ".mts", ".js", ".mjs", ".json", "/index.ts", "/index.js"] as const;

/** TypeScript files that are imported by the name they would be compiled to. */
const COMPILED: Readonly<Record<string, string>> = { ".js": ".ts", ".mjs": ".mts", ".cjs": ".cts" };

/** Largest file that is bundled. */
const MAX_FILE_BYTES = 10 * 1024 * 1024;

/** What to use instead of Node's modules. */
const INSTEAD: Readonly<Record<string, string>> = {
  buffer: "use Uint8Array, TextEncoder and `ctx.crypto.base64`",
  crypto: "use `ctx.crypto`",
  fs: "import JSON files, or give values as options of the stage",
  http: "use `ctx.fetch`",
  https: "use `ctx.fetch`",
  process: "give values as options of the stage",
  querystring: "use URLSearchParams",
  url: "use URL and URLSearchParams",
  util: "TextEncoder and TextDecoder are there",
};

/** Finds and reads what one script imports. */
export class Imports {
  /** Every file that was read or looked for, absolute. */
  readonly inputs = new Set<string>();
  /** What was read, by path. */
  readonly sources = new Map<string, Source>();
  readonly #baseDir: string;
  readonly #packages: readonly string[];
  /** Files below it import from below it: a script is not to read what else is on the machine. */
  #root: string;

  constructor(baseDir: string, packages: readonly string[]) {
    this.#baseDir = this.#root = baseDir;
    this.#packages = packages;
  }

  /** @param byNpm finds what a package has for browsers in place of a module of Node */
  async resolve(request: ImportRequest, byNpm: () => Promise<Resolution>): Promise<Resolution> {
    const { path, kind, resolveDir, importer } = request;
    if (kind === "entry-point") {
      const entry = resolve(resolveDir, path);
      if (!isBelow(entry, this.#root)) this.#root = dirname(entry);
      return { path: entry };
    }
    if (path === "sluice/plugin") return { path, namespace: VIRTUAL };
    if (kind.startsWith("dynamic")) {
      return refuse("A script cannot import while it runs", "import at the top of the file");
    }
    const isOfPackage = importer.includes(`${sep}node_modules${sep}`);
    if (path.startsWith("node:") || (isBuiltin(path) && !this.#packages.includes(packageOf(path)))) {
      return (isOfPackage && (await byNpm())) || refuseBuiltin(path);
    }
    if (/^[a-z][a-z0-9+.-]*:/i.test(path) || path.startsWith("//")) {
      return refuse("A script cannot import from a URL", "save the file beside the script");
    }
    if (isAbsolute(path)) return refuse("Imports of files begin with ./ or ../");
    const isFile = /^\.\.?(\/|$)/.test(path);
    if (isFile && isBelow(resolveDir, this.#root) && !isBelow(resolve(resolveDir, path), this.#root)) {
      const whose = this.#root === this.#baseDir ? "the folder of the configuration" : "its own folder";
      return refuse(`A script cannot import files that are not below ${whose}`);
    }
    if (isOfPackage) return undefined;
    if (isFile) return this.#find(path, resolveDir);
    return this.#findPackage(path, resolveDir);
  }

  async #find(path: string, folder: string): Promise<Resolution> {
    const exact = resolve(folder, path);
    const extension = extname(exact);
    const compiled = COMPILED[extension];
    const candidates = [
      ...(extension === "" ? [] : [exact]),
      ...(compiled === undefined ? [] : [exact.slice(0, -extension.length) + compiled]),
      ...(extension in LOADERS ? [] : ENDINGS.map((ending) => exact + ending)),
    ];
    for (const candidate of candidates) {
      this.inputs.add(candidate);
      const stats = await stat(candidate).catch(() => undefined); // what cannot be looked at is not there
      if (stats?.isFile()) return { path: candidate };
    }
    const shown = candidates.map((candidate) => relative(this.#baseDir, candidate)).slice(0, 3);
    return refuse(`There is no file "${path}"`, `looked for ${shown.join(", ")}`);
  }

  #findPackage(path: string, folder: string): Resolution {
    const name = packageOf(path);
    if (!this.#packages.includes(name)) {
      if (name === "sluice") return refuse("Scripts import `sluice/plugin`, and nothing else of it");
      return refuse(
        `The package "${name}" is not one that scripts may import`,
        `add it to \`pluginPackages\``,
      );
    }
    // Where it may turn up, if it is missing.
    for (const place of [folder, this.#baseDir]) this.inputs.add(join(place, "node_modules", name));
    return undefined;
  }

  /** Reads a file that is imported, or the entry. */
  async read(path: string): Promise<Module | Refusal> {
    this.inputs.add(path);
    const loader = LOADERS[extname(path)];
    if (loader === undefined) {
      return refuse(`A script can import TypeScript, JavaScript and JSON, not \`${extname(path)}\` files`);
    }
    let contents: string;
    try {
      const stats = await stat(path);
      if (!stats.isFile()) return refuse("It is not a file"); // to open a pipe may take for ever
      if (stats.size > MAX_FILE_BYTES)
        return refuse(`The file is larger than ${MAX_FILE_BYTES / 1024 / 1024} MB`);
      contents = (await readFile(path, "utf8")).replace(/^\ufeff/, "");
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return refuse(code === "ENOENT" ? "There is no such file" : `The file cannot be read: ${code}`);
    }
    this.sources.set(path, new Source(path, contents));
    return { contents, loader, resolveDir: dirname(path) };
  }
}

function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function packageOf(path: string): string {
  const parts = path.split("/");
  return parts.slice(0, path.startsWith("@") ? 2 : 1).join("/");
}

function refuseBuiltin(path: string): Refusal {
  const name = path.replace(/^node:/, "");
  const hint = INSTEAD[name.split("/")[0]!] ?? "see the docs of scripts for what there is";
  return refuse(`"${path}" is a module of Node, which scripts cannot import`, hint);
}

function refuse(text: string, hint?: string): Refusal {
  return { errors: [{ text, detail: new BundleProblem("CONFIG_SCRIPT_IMPORT", text, hint) }] };
}
