/** Finds the folder of plugins without checking the configuration, which may have problems while it is being written. */
import { dirname, resolve } from "node:path";
import { readTree } from "./include.ts";
import { createReading } from "./load.ts";
import { DEFAULT_FOLDER } from "./scripts.ts";

/** The absolute path of the folder. @param file the main file, which need not be there */
export async function readPluginsDir(file: string): Promise<string> {
  const folder = dirname(file);
  const tree = await readTree(file, createReading(folder, {}));
  const node = tree.entries.get("pluginsDir")?.node;
  const written = node?.kind === "scalar" && typeof node.value === "string" ? node.value : DEFAULT_FOLDER;
  return resolve(folder, written);
}
