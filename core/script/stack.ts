/** Stack traces of scripts, told in lines of the author's own files. */
import { SourceMap } from "node:module";

/** Where something is in the author's files. */
export interface ScriptPlace {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

export interface MappedStack {
  /** For the log: the frames that are the author's. */
  readonly text: string;
  /** The first of them. */
  readonly place: ScriptPlace | undefined;
}

const FRAME = /^(\s+at (?:(.*) \()?)(.+):(\d+):(\d+)\)?$/;

/**
 * @param stack as V8 wrote it, or empty
 * @param file what the frames of the script have for a file
 * @param map its source map, as JSON
 */
export function mapStack(stack: string, file: string, map: string): MappedStack {
  let source: SourceMap | undefined;
  let place: ScriptPlace | undefined;
  const lines: string[] = [];
  for (const line of stack.split("\n")) {
    const [, , name, where, row, column] = FRAME.exec(line) ?? [];
    if (where === undefined) {
      if (!line.trimStart().startsWith("at ")) lines.push(line);
      continue;
    }
    if (where !== file) continue; // the runtime's own
    source ??= new SourceMap(JSON.parse(map) as ConstructorParameters<typeof SourceMap>[0]);
    const found = source.findEntry(Number(row) - 1, Number(column) - 1);
    const at: ScriptPlace =
      "originalSource" in found
        ? { file: found.originalSource, line: found.originalLine + 1, column: found.originalColumn + 1 }
        : { file, line: Number(row), column: Number(column) };
    place ??= at;
    const text = `${at.file}:${at.line}:${at.column}`;
    lines.push(name === undefined || name === "eval" ? `    at ${text}` : `    at ${name} (${text})`);
  }
  return { text: lines.join("\n"), place };
}
