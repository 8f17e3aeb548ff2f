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

/** Tells the stacks of one script. Its source map, which may be large, is read when the first one is told. */
export class StackTeller {
  readonly #file: string;
  readonly #map: string;
  #source: SourceMap | undefined;

  /**
   * @param file what the frames of the script have for a file
   * @param map its source map, as JSON
   */
  constructor({ file, map }: { readonly file: string; readonly map: string }) {
    this.#file = file;
    this.#map = map;
  }

  /** @param stack as V8 wrote it, or empty */
  tell(stack: string): MappedStack {
    let place: ScriptPlace | undefined;
    const lines: string[] = [];
    for (const line of stack.split("\n")) {
      const [, , name, where, row, column] = FRAME.exec(line) ?? [];
      if (where === undefined) {
        if (!line.trimStart().startsWith("at ")) lines.push(line);
        continue;
      }
      if (where !== this.#file) continue; // the runtime's own
      const at = this.#find(Number(row), Number(column));
      place ??= at;
      const text = `${at.file}:${at.line}:${at.column}`;
      lines.push(name === undefined || name === "eval" ? `    at ${text}` : `    at ${name} (${text})`);
    }
    return { text: lines.join("\n"), place };
  }

  #find(line: number, column: number): ScriptPlace {
    this.#source ??= new SourceMap(JSON.parse(this.#map) as ConstructorParameters<typeof SourceMap>[0]);
    const found = this.#source.findEntry(line - 1, column - 1);
    if (!("originalSource" in found)) return { file: this.#file, line, column };
    const { originalSource, originalLine, originalColumn } = found;
    return { file: originalSource, line: originalLine + 1, column: originalColumn + 1 };
  }
}
