/** Text of configuration files and places in it. */
import { isUtf8 } from "node:buffer";
import { readFile, stat } from "node:fs/promises";
import { relative } from "node:path";
import type { ConfigCode } from "./codes.ts";

/** Largest configuration file that is read. */
const MAX_FILE_BYTES = 10 * 1024 * 1024;

/** Characters from `start` to before `end` of a file. */
export interface Place {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

/** Line and column count from 1; columns are UTF-16 units, as editors count. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A file that was read. */
export class Source {
  /** Absolute path. */
  readonly path: string;
  readonly text: string;
  /** True when it could not be parsed, so that nobody knows which of its values are secrets. */
  broken = false;
  #lineStarts: number[] | undefined;

  constructor(path: string, text: string) {
    this.path = path;
    this.text = text;
  }

  get #starts(): number[] {
    if (this.#lineStarts === undefined) {
      const starts = [0];
      for (const match of this.text.matchAll(/\r\n|\r|\n/g)) starts.push(match.index + match[0].length);
      this.#lineStarts = starts;
    }
    return this.#lineStarts;
  }

  position(offset: number): Position {
    const starts = this.#starts;
    const at = Math.min(Math.max(offset, 0), this.text.length);
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= at) low = middle;
      else high = middle - 1;
    }
    return { line: low + 1, column: at - starts[low]! + 1 };
  }

  /** Offsets of the start of a line and of its end, without the line break. */
  lineRange(line: number): [start: number, end: number] {
    const starts = this.#starts;
    const start = starts[line - 1] ?? this.text.length;
    const next = starts[line] ?? this.text.length;
    const text = this.text.slice(start, next).replace(/[\r\n]+$/, "");
    return [start, start + text.length];
  }
}

/** `routes.yaml:3:5`, the file seen from `folder`. */
export function placeText(place: Place, folder: string): string {
  const { line, column } = place.source.position(place.start);
  return `${relative(folder, place.source.path)}:${line}:${column}`;
}

/** A file that cannot be used as text. */
export class UnreadableError extends Error {
  readonly code: ConfigCode;
  /** Where in the file, if it has text at all. */
  readonly place: Place | undefined;

  constructor(message: string, code: ConfigCode = "CONFIG_UNREADABLE", place?: Place) {
    super(message);
    this.code = code;
    this.place = place;
  }
}

/**
 * Reads a text file: UTF-8 without a byte order mark, without NUL bytes.
 * @throws UnreadableError
 */
export async function readSource(path: string, maxBytes = MAX_FILE_BYTES): Promise<Source> {
  let bytes: Buffer;
  try {
    const stats = await stat(path);
    if (!stats.isFile()) {
      throw new UnreadableError(
        stats.isDirectory() ? "This is a folder, not a file" : "This is not a regular file",
      );
    }
    if (stats.size > maxBytes) {
      throw new UnreadableError(`The file is larger than ${maxBytes / 1024 / 1024} MB`);
    }
    bytes = await readFile(path);
  } catch (error) {
    throw error instanceof UnreadableError ? error : unreadable(error as NodeJS.ErrnoException);
  }
  return decode(path, bytes);
}

const REASONS: Record<string, string> = {
  EACCES: "permission denied",
  EPERM: "permission denied",
  ELOOP: "its symbolic links go in a circle",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "its name is too long",
  EIO: "the disk reports an error",
};

function unreadable(error: NodeJS.ErrnoException): UnreadableError {
  const { code = "unknown error" } = error;
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new UnreadableError("The file does not exist", "CONFIG_NOT_FOUND");
  }
  return new UnreadableError(`The file cannot be read: ${REASONS[code] ?? code}`);
}

function decode(path: string, bytes: Buffer): Source {
  const head = bytes.subarray(0, 4).toString("hex");
  if (head.startsWith("fffe") || head.startsWith("feff") || /^(00..|..00)/.test(head)) {
    throw new UnreadableError("The file is UTF-16 or UTF-32; save it as UTF-8");
  }
  if (head.startsWith("efbbbf")) {
    throw new UnreadableError("The file starts with a byte order mark; save it as UTF-8 without BOM");
  }
  const source = new Source(path, bytes.toString("utf8"));
  const nul = source.text.indexOf("\0");
  if (nul !== -1) {
    throw new UnreadableError("The file has a NUL byte here; it is not a text file", "CONFIG_UNREADABLE", {
      source,
      start: nul,
      end: nul + 1,
    });
  }
  if (!isUtf8(bytes)) {
    const at = invalidUtf8At(bytes, source.text);
    throw new UnreadableError("The file is not valid UTF-8 here", "CONFIG_UNREADABLE", {
      source,
      start: at,
      end: at + 1,
    });
  }
  return source;
}

/** Offset, in the decoded text, of the first character that stands for invalid bytes. */
function invalidUtf8At(bytes: Buffer, text: string): number {
  let offset = 0;
  let from = 0;
  for (let at = text.indexOf("\ufffd"); at !== -1; at = text.indexOf("\ufffd", from)) {
    offset += Buffer.byteLength(text.slice(from, at));
    if (bytes.toString("hex", offset, offset + 3) !== "efbfbd") return at;
    offset += 3;
    from = at + 1;
  }
  return 0;
}
