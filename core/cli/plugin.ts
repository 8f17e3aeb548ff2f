/** `sluice plugin`: what authors of plugins begin with: a first file with its test, and types for their editor. */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { MAIN_FILES } from "../config/find.ts";
import { readPluginsDir } from "../config/plugins-dir.ts";
import { DEFAULT_FOLDER } from "../config/scripts.ts";
import type { Catalogue } from "../plugin.ts";
import { COMPILER_OPTIONS, COPY, DECLARATIONS } from "../script/type-check.ts";
import type { CommandIo } from "./check.ts";
import { renderPlugin, renderTest } from "./plugin-template.ts";

export interface PluginOptions {
  /** Path of the configuration; gateway.yaml, gateway.yml or gateway.json in the current folder by default. */
  readonly file: string | undefined;
}

/** Where an editor finds the types when the package is installed. */
const PACKAGE_TYPES = "sluice/types";

/**
 * Writes what an editor needs to know of the plugins in a folder.
 * @param folder the configuration's by default
 * @returns the exit status
 */
export async function writeTypes(
  options: PluginOptions & { folder?: string | undefined },
  io: CommandIo,
): Promise<0 | 1> {
  const found = options.folder ?? (await findPlugins(options, io))?.folder;
  if (found === undefined) return 1;
  const folder = resolve(io.cwd, found);
  await mkdir(folder, { recursive: true });
  const isInstalled = ancestorsOf(folder).some((path) =>
    existsSync(join(path, "node_modules/sluice/schemas/plugin.d.ts")),
  );
  const project = join(folder, "tsconfig.json");
  let text = await readFile(project, "utf8").catch(() => undefined);
  if (text === undefined) {
    const compilerOptions = { ...COMPILER_OPTIONS, types: isInstalled ? [PACKAGE_TYPES] : [] };
    text = `${JSON.stringify({ compilerOptions }, null, 2)}\n`;
    await write(project, text, io);
  } else {
    io.write(`kept   ${relative(io.cwd, project)}\n`);
  }
  const declarations = join(folder, COPY);
  // One that is there must not grow old.
  if (!isInstalled || !text.includes(`"${PACKAGE_TYPES}"`) || existsSync(declarations)) {
    await write(declarations, await readFile(DECLARATIONS, "utf8"), io);
  }
  return 0;
}

/**
 * Writes a plugin that does something, and its test.
 * @returns the exit status: 1 when there can be no plugin of that name
 */
export async function writePlugin(
  { name, ...options }: PluginOptions & { name: string },
  io: CommandIo,
  catalogue: Catalogue,
): Promise<0 | 1> {
  const plugins = await findPlugins(options, io);
  if (plugins === undefined) return 1;
  const { folder, baseDir } = plugins;
  const problem = problemOf(name, folder, io.cwd, catalogue);
  if (problem !== undefined) {
    io.writeError(`${problem}\n`);
    return 1;
  }
  await mkdir(folder, { recursive: true });
  await write(join(folder, `${name}.ts`), renderPlugin(name), io);
  await write(join(folder, `${name}.test.ts`), renderTest(name, relative(baseDir, folder)), io);
  await writeTypes({ ...options, folder }, io);
  io.write(`
Add it to the pipeline of a route:

    pipeline:
      - plugin: ${name}
        greeting: hello
`);
  return 0;
}

function problemOf(name: string, folder: string, cwd: string, catalogue: Catalogue): string | undefined {
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/.test(name)) {
    return `A plugin cannot be called ${JSON.stringify(name)}: its name is made of letters, digits, \`-\` and \`_\``;
  }
  if (catalogue.has(name)) return `There is a built-in plugin "${name}"; choose another name`;
  const taken = [".ts", ".mts", ".js", ".mjs", ".test.ts"]
    .map((extension) => join(folder, `${name}${extension}`))
    .find((path) => existsSync(path));
  return taken && `${relative(cwd, taken)} is there already`;
}

/** Where plugins are. */
export interface PluginsPlace {
  /** What the configuration says; `plugins` where there is none. */
  readonly folder: string;
  /** Folder of the configuration, which paths in it start from. */
  readonly baseDir: string;
}

/** Finds them; says so and gives nothing when there is no such configuration. */
export async function findPlugins({ file }: PluginOptions, io: CommandIo): Promise<PluginsPlace | undefined> {
  const known = [file, ...MAIN_FILES].find((name) => name !== undefined && existsSync(resolve(io.cwd, name)));
  if (file !== undefined && known !== file) {
    io.writeError(`There is no ${file}\n`);
    return undefined;
  }
  if (known === undefined) return { folder: join(io.cwd, DEFAULT_FOLDER), baseDir: io.cwd };
  const main = resolve(io.cwd, known);
  return { folder: await readPluginsDir(main), baseDir: dirname(main) };
}

/** The folder and those that it is in. */
function ancestorsOf(folder: string): string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...ancestorsOf(parent)];
}

async function write(path: string, text: string, io: CommandIo): Promise<void> {
  await writeFile(path, text);
  io.write(`wrote  ${relative(io.cwd, path)}\n`);
}
