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

/** What a frame ends with. Of the script's making, as all of it: read with nothing that goes back and forth. */
const PLACE = /:(\d+):(\d+)\)?$/;

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
      const frame = line.trimStart();
      if (!frame.startsWith("at ")) {
        lines.push(line);
        continue;
      }
      const found = PLACE.exec(frame);
      const before = frame.slice(3, found?.index);
      const isNamed = before.endsWith(` (${this.#file}`);
      if (found === null || !(isNamed || before === this.#file)) continue; // the runtime's own
      const at = this.#find(Number(found[1]), Number(found[2]));
      place ??= at;
      const text = `${at.file}:${at.line}:${at.column}`;
      const name = before.slice(0, -this.#file.length - 2);
      lines.push(isNamed && name !== "eval" ? `    at ${name} (${text})` : `    at ${text}`);
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
