/** `sluice check`: says everything that is wrong with a configuration. */
import { findConfig } from "../config/find.ts";
import { ConfigLoadError, type Diagnostic, type LoadedConfig, loadConfig } from "../config/load.ts";
import { renderDiagnostic } from "../config/render.ts";
import type { CheckedConfig } from "../config/checked.ts";
import { ConfigError, type Problem } from "../errors.ts";
import type { Catalogue } from "../plugin.ts";
import { relative } from "node:path";

export interface CheckOptions {
  /** Path of the configuration; gateway.yaml, gateway.yml or gateway.json in the current folder by default. */
  readonly file?: string | undefined;
  readonly format: "text" | "json";
}

/** What a command sees of the world. */
export interface CommandIo {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly isTty: boolean;
  write(text: string): void;
  writeError(text: string): void;
}

/** What `check` needs to know of the gateway. */
export interface CheckTools {
  readonly catalogue: Catalogue;
  /**
   * Builds what `start` would run, and closes it. Gives what is doubtful about it.
   * @throws ConfigError with pointers into the configuration
   */
  readonly compile: (config: CheckedConfig) => Promise<readonly Problem[]>;
  /** Checks the types of the scripts among the files of a configuration; absent when types do not matter. */
  readonly checkTypes?: (files: readonly string[]) => Promise<readonly Diagnostic[]>;
}

/**
 * Checks a configuration and writes what was found.
 * @returns the exit status: 0 when it can be used, 1 when not
 */
export async function check(options: CheckOptions, io: CommandIo, tools: CheckTools): Promise<0 | 1> {
  let path = "";
  let loaded: LoadedConfig | undefined;
  let diagnostics: readonly Diagnostic[] = [];
  let warnings: readonly Diagnostic[] = [];
  let files: readonly string[] = [];
  try {
    path = findConfig(options.file, io.cwd);
    loaded = await loadConfig(path, { ...tools, env: io.env });
    files = loaded.files;
    warnings = loaded.locate(await tools.compile(loaded.config));
  } catch (error) {
    if (error instanceof ConfigLoadError) files = error.files;
    diagnostics = diagnosticsOf(error, loaded);
  }
  // What cannot even be read as a script is told already, and would hide the types of others.
  const broken = new Set(diagnostics.map(({ file }) => file));
  const typed = (await tools.checkTypes?.(files.filter((file) => !broken.has(file)))) ?? [];
  diagnostics = [...diagnostics, ...typed.filter(({ file }) => !broken.has(file))];
  const isValid = diagnostics.length === 0;
  if (options.format === "json") {
    const found = { problems: diagnostics.map(toJson), warnings: warnings.map(toJson) };
    io.write(`${JSON.stringify({ ok: isValid, ...found }, null, 2)}\n`);
  } else if (isValid) {
    for (const warning of warnings) io.write(`${render(warning, io, "warning")}\n\n`);
    io.write(`${relative(io.cwd, path)} is valid: ${countOf(loaded!.config)}\n`);
  } else {
    io.write(renderAll(diagnostics, io));
  }
  return isValid ? 0 : 1;
}

/** The diagnostics of what loading or building threw; anything else is a bug and is thrown on. */
export function diagnosticsOf(error: unknown, loaded: LoadedConfig | undefined): readonly Diagnostic[] {
  if (error instanceof ConfigLoadError) return error.diagnostics;
  if (error instanceof ConfigError && loaded !== undefined) return loaded.locate(error.problems);
  throw error;
}

/** Diagnostics as text, and how many there are. Coloured on a terminal, unless NO_COLOR is set. */
export function renderAll(diagnostics: readonly Diagnostic[], io: CommandIo): string {
  const texts = diagnostics.map((d) => render(d, io, "error"));
  const files = new Set(diagnostics.map((d) => d.file));
  const inFiles = files.size > 1 ? ` in ${files.size} files` : "";
  return `${texts.join("\n\n")}\n\n${plural(diagnostics.length, "problem")}${inFiles}\n`;
}

function render(diagnostic: Diagnostic, io: CommandIo, severity: "error" | "warning"): string {
  return renderDiagnostic(diagnostic, { cwd: io.cwd, colour: isColoured(io), severity });
}

export function isColoured({ isTty, env }: CommandIo): boolean {
  return isTty && (env["NO_COLOR"] ?? "") === "";
}

function countOf({ routes, upstreams }: CheckedConfig): string {
  const stages = routes.reduce((sum, route) => sum + route.stages.length, 0);
  const counts = [
    plural(routes.length, "route"),
    plural(Object.keys(upstreams).length, "upstream"),
    plural(stages, "stage"),
  ];
  return counts.join(", ");
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;

function toJson({ code, message, file, line, column, endColumn, pointer, suggestion }: Diagnostic): object {
  return { code, message, file, line, column, endColumn, pointer, suggestion };
}
