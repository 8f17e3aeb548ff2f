/**
 * Checks the types of scripts: runs the TypeScript compiler on them, in a process of its own. A script runs whatever
 * its types are, so this is for `sluice check` and never for a start or a reload. The user's tsconfig.json is for the
 * editor only; here every folder is checked alike.
 */
import { execFile } from "node:child_process";
import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve, sep } from "node:path";
import typescript from "typescript/package.json" with { type: "json" };
import { Diagnoser, type Diagnostic } from "../config/diagnose.ts";
import { Secrets } from "../config/secrets.ts";
import { type Place, readSource, type Source } from "../config/source.ts";
import { createMap, type Finding } from "../config/tree.ts";

const { resolve: find } = createRequire(import.meta.url);
const COMPILER = join(dirname(find("typescript/package.json")), typescript.bin.tsc);

/** What scripts see of the world: the modules they import and the globals of the sandbox. */
export const DECLARATIONS = join(dirname(find("sluice/package.json")), "schemas/plugin.d.ts");

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
 * Checks files and what they import, packages apart.
 * @param files absolute paths; declarations (`*.d.ts`) may be among them
 * @returns what is wrong, in the order of the files; also that it could not be found out
 */
export async function checkTypes(
  files: readonly string[],
  { timeoutMs = 30_000 }: TypeCheckOptions = {},
): Promise<readonly Diagnostic[]> {
  if (!files.some((file) => !file.endsWith(".d.ts"))) return [];
  const folder = await realpath(await mkdtemp(join(tmpdir(), "sluice-types-")));
  try {
    const project = {
      compilerOptions: { ...COMPILER_OPTIONS, types: [], typeRoots: [] },
      files: [DECLARATIONS, ...files],
    };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(project));
    return await locate(parse(await compile(folder, timeoutMs), folder));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
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
    if (file.includes(`${sep}node_modules${sep}`)) continue;
    complaints.push({ at: { file, line: Number(row), column: Number(column) }, message });
  }
  return complaints.slice(0, MAX_PROBLEMS);
}

async function locate(complaints: readonly Complaint[]): Promise<Diagnostic[]> {
  const sources = new Map<string, Source>();
  const findings: Finding[] = [];
  for (const { at, message } of complaints) {
    const finding: Finding = { code: "CONFIG_SCRIPT_TYPES", message, pointer: "" };
    if (at !== undefined) {
      const source = sources.get(at.file) ?? (await readSource(at.file));
      sources.set(at.file, source);
      finding.place = placeIn(source, at.line, at.column);
    }
    findings.push(finding);
  }
  return new Diagnoser(createMap(), new Secrets([]), [...sources.values()]).diagnose(findings);
}

/** The word that begins there, or the character. */
function placeIn(source: Source, line: number, column: number): Place {
  const [lineStart, lineEnd] = source.lineRange(line);
  const start = lineStart + column - 1;
  const [word = ""] = /^(?:[\w$]+|(["'`]).*?\1)?/.exec(source.text.slice(start, lineEnd)) ?? [];
  return { source, start, end: start + Math.max(1, word.length) };
}

const firstLine = (text: string): string => text.trim().split("\n")[0] ?? "";
