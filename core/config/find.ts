/** Finds the configuration file that is meant. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { ConfigLoadError } from "./load.ts";

/** Names that are looked for, in this order. */
export const MAIN_FILES = ["gateway.yaml", "gateway.yml", "gateway.json"] as const;

/**
 * The path of the configuration: `file` if it is given, else the first of gateway.yaml, gateway.yml and
 * gateway.json in `cwd`.
 * @throws ConfigLoadError CONFIG_NOT_FOUND
 */
export function findConfig(file: string | undefined, cwd: string): string {
  if (file !== undefined) return resolve(cwd, file);
  for (const name of MAIN_FILES) {
    const path = join(cwd, name);
    if (existsSync(path)) return path;
  }
  const message = `There is no gateway.yaml, gateway.yml or gateway.json in this folder; make one, or name a file with -c FILE`;
  const files = MAIN_FILES.map((name) => join(cwd, name));
  throw new ConfigLoadError([{ code: "CONFIG_NOT_FOUND", message, pointer: "" }], { files, folders: [] });
}
