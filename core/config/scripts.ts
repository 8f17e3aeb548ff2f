/** Finds the scripts of a configuration: plugin files, and stages that are scripts themselves. */
import { readdir, stat } from "node:fs/promises";
import { basename, extname, join, relative, resolve } from "node:path";
import type { Catalogue } from "../plugin.ts";
import { childPointer } from "../pointer.ts";
import { type LoadedScript, ScriptLoader, type ScriptProblem, type ScriptRequest } from "../script/load.ts";
import type { ScriptBundle } from "../script/script.ts";
import { asList, asRecord } from "./checking.ts";
import type { Reading } from "./include.ts";
import { IS_NAME } from "./schema.ts";
import { blockPlace } from "./block-text.ts";
import { type Finding, findNode, type MapNode } from "./tree.ts";

/** The scripts that a configuration may use; undefined for those with problems, which were reported. */
export interface ConfigScripts {
  /** Plugin files, by name. */
  readonly plugins: ReadonlyMap<string, ScriptBundle | undefined>;
  /** Of stages with `plugin: script`, by pointer. */
  readonly stages: ReadonlyMap<string, ScriptBundle | undefined>;
  /** Folder of plugin files, as messages have it; undefined when there is none. */
  readonly folder: string | undefined;
}

/** Name of the plugin whose stages are scripts of their own. */
export const SCRIPT = "script";

/** Where plugin files are, beside the main file. */
export const DEFAULT_FOLDER = "plugins";

const EXTENSIONS: ReadonlySet<string> = new Set([".ts", ".mts", ".js", ".mjs"]);

interface Wanted extends ScriptRequest {
  /** The stage that asks for it, or the plugin file that it is. */
  readonly from: { readonly pointer: string; readonly key: "file" | "source" } | { readonly file: string };
}

/**
 * Makes every script of a configuration. Problems are added to `reading.findings`, files to what is watched.
 * @param hasFolder whether there is a folder beside the configuration in which plugins are looked for without
 * being told
 * @param given makes the scripts; one for this time by default
 */
export async function loadScripts(
  tree: MapNode,
  plain: Record<string, unknown>,
  reading: Reading,
  catalogue: Catalogue,
  hasFolder: boolean,
  given: ScriptLoader | undefined,
): Promise<ConfigScripts> {
  const folder = readFolder(plain, reading, hasFolder);
  const files = folder === undefined ? [] : await findFiles(folder, plain, reading, catalogue);
  const wanted = [...files, ...(catalogue.has(SCRIPT) ? findStages(plain, reading) : [])];
  const plugins = new Map<string, ScriptBundle | undefined>();
  const stages = new Map<string, ScriptBundle | undefined>();
  const shown = folder === undefined ? undefined : relative(reading.baseDir, folder);
  if (wanted.length === 0) return { plugins, stages, folder: shown };
  const packages = asList(plain["pluginPackages"]).filter((name) => typeof name === "string");
  const loader = given ?? new ScriptLoader();
  const loaded = await loader.load(wanted, { baseDir: reading.baseDir, packages });
  if (given === undefined) await loader.close();
  for (const [i, { name, from }] of wanted.entries()) {
    const { bundle, problems, inputs } = loaded[i] as LoadedScript;
    for (const input of inputs) reading.files.add(input);
    if ("file" in from) plugins.set(name, bundle);
    else stages.set(from.pointer, bundle);
    for (const problem of problems) reading.findings.push(toFinding(problem, from, tree));
  }
  return { plugins, stages, folder: shown };
}

function readFolder(
  plain: Record<string, unknown>,
  reading: Reading,
  hasFolder: boolean,
): string | undefined {
  const written = plain["pluginsDir"];
  if (typeof written === "string" && written !== "") return resolve(reading.baseDir, written);
  return written === undefined && hasFolder ? resolve(reading.baseDir, DEFAULT_FOLDER) : undefined;
}

/** The plugin files of a folder, sorted. */
async function findFiles(
  folder: string,
  plain: Record<string, unknown>,
  { findings, folders }: Reading,
  catalogue: Catalogue,
): Promise<Wanted[]> {
  folders.add(folder);
  let names: string[] = [];
  try {
    names = await readdir(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (plain["pluginsDir"] !== undefined || code !== "ENOENT") {
      const message = code === "ENOENT" ? "There is no such folder" : `The folder cannot be read: ${code}`;
      findings.push({ code: "CONFIG_VALUE", message, pointer: "/pluginsDir" });
    }
  }
  const wanted = new Map<string, Wanted>();
  for (const entry of names.sort()) {
    const extension = extname(entry);
    const name = basename(entry, extension);
    if (!EXTENSIONS.has(extension) || /^[_.]|\.(test|d)$/.test(name)) continue;
    const file = join(folder, entry);
    const stats = await stat(file).catch(() => undefined); // a link to nothing: its target is waited for
    if (stats?.isDirectory() === true) continue;
    const problem = nameProblem(name, catalogue, wanted);
    if (problem !== undefined) {
      findings.push({ code: "CONFIG_SCRIPT_NAME", message: problem, pointer: "", file });
    } else {
      wanted.set(name, { name, entry: { file }, from: { file } });
    }
  }
  return [...wanted.values()];
}

function nameProblem(
  name: string,
  catalogue: Catalogue,
  known: ReadonlyMap<string, Wanted>,
): string | undefined {
  if (!IS_NAME.test(name)) {
    return "The name of a plugin, which is that of its file, is made of letters, digits, `.`, `_` and `-`";
  }
  if (catalogue.has(name)) return `There is a built-in plugin "${name}"; give the file another name`;
  const other = known.get(name)?.from as { file: string } | undefined;
  return other && `The plugin "${name}" is there twice: the other file is ${basename(other.file)}`;
}

/** Stages that are scripts of their own, where enough is right to make them. */
function findStages(plain: Record<string, unknown>, { baseDir, findings }: Reading): Wanted[] {
  const lists: (readonly [pointer: string, list: unknown])[] = [
    ...asList(plain["routes"]).map(
      (route, i) => [`/routes/${i}/pipeline`, asRecord(route)["pipeline"]] as const,
    ),
    ...Object.entries(asRecord(plain["pipelines"])).map(
      ([name, value]) => [`${childPointer("/pipelines", name)}/stages`, asRecord(value)["stages"]] as const,
    ),
  ];
  const wanted: Wanted[] = [];
  for (const [at, list] of lists) {
    for (const [i, item] of asList(list).entries()) {
      const { plugin, name: written, file, source } = asRecord(item);
      if (plugin !== SCRIPT) continue;
      const pointer = childPointer(at, i);
      const own = typeof written === "string" && IS_NAME.test(written) ? written : undefined;
      if (typeof file === "string" && file !== "" && source === undefined) {
        const name = own ?? basename(file, extname(file));
        if (IS_NAME.test(name)) {
          wanted.push({ name, entry: { file: resolve(baseDir, file) }, from: { pointer, key: "file" } });
        } else {
          const message =
            "The name of a file is the script's if it is made of letters, digits, `.`, `_` and `-`";
          findings.push({
            code: "CONFIG_SCRIPT_NAME",
            message: `${message}; give the stage a \`name\``,
            pointer: `${pointer}/file`,
          });
        }
      } else if (typeof source === "string" && file === undefined) {
        const name = own ?? SCRIPT;
        wanted.push({
          name,
          entry: { source, name: `${name}.inline` },
          from: { pointer, key: "source" },
        });
      }
    }
  }
  return wanted;
}

function toFinding({ code, message, place }: ScriptProblem, from: Wanted["from"], tree: MapNode): Finding {
  if ("file" in from) {
    return place === undefined
      ? { code, message, pointer: "", file: from.file }
      : { code, message, pointer: "", place };
  }
  const pointer = `${from.pointer}/${from.key}`;
  if (from.key === "file" || place === undefined) return { code, message, pointer, place };
  const known = blockPlace(findNode(tree, pointer).node, place);
  if (known !== undefined) return { code, message, pointer, place: known };
  const { line, column } = place.source.position(place.start);
  return { code, message: `In line ${line}, column ${column} of the script: ${message}`, pointer };
}
