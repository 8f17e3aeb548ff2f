/** `sluice dump`: shows a configuration as one document, secrets masked. */
import { stringify } from "yaml";
import { findConfig } from "../config/find.ts";
import { loadConfig } from "../config/load.ts";
import type { Catalogue } from "../plugin.ts";
import { type CommandIo, diagnosticsOf, renderAll } from "./check.ts";

export interface DumpOptions {
  /** Path of the configuration; gateway.yaml, gateway.yml or gateway.json in the current folder by default. */
  readonly file?: string | undefined;
  readonly format: "yaml" | "json";
  /** Fill in defaults and make pipelines flat. Else: as written, all files joined. */
  readonly effective: boolean;
}

/**
 * Writes the configuration, or what is wrong with it.
 * @returns the exit status: 0 when it can be used, 1 when not
 */
export async function dump(options: DumpOptions, io: CommandIo, catalogue: Catalogue): Promise<0 | 1> {
  try {
    const loaded = await loadConfig(findConfig(options.file, io.cwd), { catalogue, env: io.env });
    const shown = options.effective ? loaded.effective() : loaded.written();
    io.write(options.format === "json" ? `${JSON.stringify(shown, null, 2)}\n` : toYaml(shown));
    return 0;
  } catch (error) {
    io.writeError(renderAll(diagnosticsOf(error, undefined), io));
    return 1;
  }
}

function toYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}
