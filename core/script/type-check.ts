/**
 * Checks the types of scripts: runs the TypeScript compiler on them, in a process of its own. A script runs whatever
 * its types are, so this is for `sluice check` and never for a start or a reload. The user's tsconfig.json is for the
 * editor only; here every folder is checked alike.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, realpath, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve, sep } from "node:path";
import typescript from "typescript/package.json" with { type: "json" };
import { Diagnoser, type Diagnostic } from "../config/diagnose.ts";
import { Secrets } from "../config/secrets.ts";
import { type Place, readSource, type Source } from "../config/source.ts";
import { createMap, type Finding } from "../config/tree.ts";

const { resolve: find } = createRequire(import.meta.url);
const COMPILER = join(dirname(find("typescript/package.json")), typescript.bin.tsc);

/** What scripts see of the world: the modules they import and the globals of the sandbox. */
export const DECLARATIONS = join(dirname(find("sluice/package.json")), "schemas/plugin.d.ts");

/** Name of a copy of these declarations, which may be old. */
export const COPY = "sluice-plugin.d.ts";

/** How scripts are checked, also by the editor. */
export const COMPILER_OPTIONS = {
  strict: true,
  noEmit: true,
  target: "es2024",
  lib: ["es2024"],
  module: "esnext",
  moduleResolution: "bundler",
  moduleDetection: "force",
  isolatedModules: true,
  resolveJsonModule: true,
  allowImportingTsExtensions: true,
  allowJs: true,
  skipLibCheck: true,
} as const;

/** Problems of one check that are told. */
const MAX_PROBLEMS = 1000;

export interface TypeCheckOptions {
  /** 30 seconds by default. */
  readonly timeoutMs?: number;
}

/**
 * Checks scripts and what they import, packages apart.
 * @param files absolute paths of all that a configuration depends on; what is no script is passed over
 * @returns what is wrong, in the order of the files; also that it could not be found out
 */
export async function checkTypes(
  files: readonly string[],
  { timeoutMs = 30_000 }: TypeCheckOptions = {},
): Promise<readonly Diagnostic[]> {
  const scripts = files.filter((file) => /\.m?[jt]s$/.test(file) && !isPackaged(file) && existsSync(file));
  if (scripts.length === 0) return [];
  const folder = await realpath(await mkdtemp(join(tmpdir(), "sluice-types-")));
  try {
    const project = {
      compilerOptions: { ...COMPILER_OPTIONS, types: [], typeRoots: [] },
      files: [DECLARATIONS, ...(await declarationsBeside(scripts)), ...scripts],
    };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(project));
    return await locate(parse(await compile(folder, timeoutMs), folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const isPackaged = (file: string): boolean => file.includes(`${sep}node_modules${sep}`);

/** What the user declares, such as the types of a package without any. */
async function declarationsBeside(scripts: readonly string[]): Promise<string[]> {
  const folders = [...new Set(scripts.map((file) => dirname(file)))];
  const lists = folders.map(async (folder) => (await readdir(folder)).map((name) => join(folder, name)));
  const paths = (await Promise.all(lists)).flat();
  return paths.filter((path) => path.endsWith(".d.ts") && basename(path) !== COPY);
}

/** A line of the compiler's output. */
interface Complaint {
  /** Absent for what is not about a file. */
  readonly at?: { readonly file: string; readonly line: number; readonly column: number };
  readonly message: string;
}

/** What the compiler writes; also why it wrote nothing. */
function compile(folder: string, timeoutMs: number): Promise<string> {
  return new Promise((settle) => {
    const options = { cwd: folder, timeout: timeoutMs, killSignal: "SIGKILL", maxBuffer: 16 << 20 } as const;
    execFile(process.execPath, [COMPILER, "-p", folder, "--pretty", "false"], options, (error, out, err) => {
      // Problems make it end with another status than 0.
      if (error === null || /\berror TS\d+: /.test(out)) return settle(out);
      const why = error.killed ? `took longer than ${timeoutMs / 1000} s` : firstLine(err || error.message);
      settle(`error: The types were not checked, for the compiler ${why}`);
    });
  });
}

function parse(output: string, folder: string): Complaint[] {
  const complaints: Complaint[] = [];
  for (const text of output.matchAll(/^\S.*(?:\n[ \t]+.*)*/gm)) {
    const [line = "", ...more] = text[0].split("\n").map((part) => part.trim());
    const known = /^(?:(.+?)\((\d+),(\d+)\): )?error(?: (TS\d+))?: (.*)$/.exec(line);
    if (known === null) continue;
    const [, path, row, column, code, first = ""] = known;
    const sentence = [first, ...more].join(" ").replace(/\.$/, "");
    const message = code === undefined ? sentence : `${sentence} (${code})`;
    if (path === undefined) {
      complaints.push({ message });
      continue;
    }
    const file = resolve(folder, path);
    if (isPackaged(file)) continue;
    complaints.push({ at: { file, line: Number(row), column: Number(column) }, message });
  }
  return complaints.slice(0, MAX_PROBLEMS);
}

async function locate(complaints: readonly Complaint[]): Promise<Diagnostic[]> {
  const sources = new Map<string, Source | undefined>();
  const findings: Finding[] = [];
  for (const { at, message } of complaints) {
    const finding: Finding = { code: "CONFIG_SCRIPT_TYPES", message, pointer: "" };
    findings.push(finding);
    if (at === undefined) continue;
    // One that has changed under us is named at least.
    if (!sources.has(at.file)) sources.set(at.file, await readSource(at.file).catch(() => undefined));
    const source = sources.get(at.file);
    if (source === undefined) finding.file = at.file;
    else finding.place = placeIn(source, at.line, at.column);
  }
  const read = [...sources.values()].filter((source) => source !== undefined);
  return new Diagnoser(createMap(), new Secrets([]), read).diagnose(findings);
}

/** The word that begins there, or the character. */
function placeIn(source: Source, line: number, column: number): Place {
  const [lineStart, lineEnd] = source.lineRange(line);
  const start = lineStart + column - 1;
  const [word = ""] = /^(?:[\w$]+|(["'`]).*?\1)?/.exec(source.text.slice(start, lineEnd)) ?? [];
  return { source, start, end: start + Math.max(1, word.length) };
}

const firstLine = (text: string): string => text.trim().split("\n")[0] ?? "";
