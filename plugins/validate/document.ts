/** Schemas and OpenAPI documents as options hold them: an object, or the text of a file, by `${file:…}`. */
import { ConfigError } from "../../core/plugin.ts";
import { isRecord } from "./shape.ts";

/** @throws ConfigError with `pointer` */
export async function readDocument(
  written: string | Readonly<Record<string, unknown>>,
  pointer: string,
): Promise<Readonly<Record<string, unknown>>> {
  const value = typeof written === "string" ? await parse(written, pointer) : written;
  if (!isRecord(value)) throw new ConfigError("An object is expected", pointer);
  return value;
}

async function parse(text: string, pointer: string): Promise<unknown> {
  if (/^\s*\{/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      // it may be YAML that begins so
    }
  }
  const [{ parseValue }, { Source }, { toPlain }] = await Promise.all([
    import("../../core/config/read.ts"),
    import("../../core/config/source.ts"),
    import("../../core/config/tree.ts"),
  ]);
  const findings: Parameters<typeof parseValue>[1] = [];
  const source = new Source("", text);
  const node = parseValue(source, findings);
  const [problem] = findings;
  if (problem !== undefined) {
    const { place } = problem;
    const line = place === undefined ? "" : `In line ${source.position(place.start).line} of the text: `;
    throw new ConfigError(line + problem.message, pointer);
  }
  return node === undefined ? undefined : toPlain(node);
}
