/**
 * Writes schemas/** from the schema literals, and the types of scripts, in code: `node core/cli/write-schemas.ts`.
 * With `--check` it writes nothing, names the files that are not what they should be, and exits 1 if there are any.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { publishGatewaySchema, publishPluginSchema } from "../config/published-schema.ts";
import type { Catalogue } from "../plugin.ts";
import { renderPluginTypes } from "./write-plugin-types.ts";

/** All files that should be there, text by path from the folder. */
export function renderPublished(catalogue: Catalogue): Map<string, string> {
  return renderSchemas(catalogue).set("plugin.d.ts", renderPluginTypes());
}

/** The schemas among them. */
export function renderSchemas(catalogue: Catalogue): Map<string, string> {
  const files = new Map([["gateway.json", render(publishGatewaySchema(catalogue))]]);
  for (const name of [...catalogue.keys()].sort()) {
    files.set(join("plugins", `${name}.json`), render(publishPluginSchema(catalogue.get(name)!.schema)));
  }
  return files;
}

const render = (schema: object): string => `${JSON.stringify(schema, null, 2)}\n`;

/** Files in a folder that are missing, different, or should not be there; sorted. */
export function findStale(folder: string, files: ReadonlyMap<string, string>): string[] {
  const present = listFiles(folder);
  const wrong = [...files].filter(([path, text]) => present.get(path) !== text).map(([path]) => path);
  const extra = [...present.keys()].filter((path) => !files.has(path));
  return [...wrong, ...extra].sort();
}

/** Makes a folder hold exactly these files. */
export function writeSchemas(folder: string, files: ReadonlyMap<string, string>): void {
  for (const path of findStale(folder, files)) {
    const text = files.get(path);
    const file = join(folder, path);
    if (text === undefined) {
      rmSync(file);
    } else {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  }
}

function listFiles(folder: string): Map<string, string> {
  mkdirSync(folder, { recursive: true });
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [relative(folder, path), readFileSync(path, "utf8")]));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  // Only the command knows the built-in plugins: core does not import them.
  const { catalogue } = (await import(new URL("../../plugins/index.ts", import.meta.url).href)) as {
    catalogue: Catalogue;
  };
  const folder = resolve(import.meta.dirname, "../../schemas");
  const files = renderPublished(catalogue);
  if (process.argv.includes("--check")) {
    const stale = findStale(folder, files);
    for (const path of stale) console.error(`schemas/${path} is not up to date; run npm run schemas`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    writeSchemas(folder, files);
  }
}
