/** Where a part of a text is in the YAML file that has the text as a block (`|`). */
import type { Place } from "./source.ts";
import type { Node } from "./tree.ts";

/**
 * The place, in its file, of a part of a text.
 * @param node the text as it was written
 * @param part a place in the text alone
 * @returns undefined when the text is written in another way, in which lines are not lines
 */
export function blockPlace(node: Node, part: Place): Place | undefined {
  const { place } = node;
  if (node.kind !== "scalar" || node.written !== undefined || place === undefined) return undefined;
  const { source, start, end } = place;
  const text = source.text.slice(start, end);
  if (!text.startsWith("|")) return undefined;
  const { line, column } = part.source.position(part.start);
  const own = part.source.text.slice(...part.source.lineRange(line));
  const [lineStart, lineEnd] = source.lineRange(source.position(start).line + line);
  // Lines of the block are those of the text, indented.
  if (!source.text.slice(lineStart, lineEnd).endsWith(own)) return undefined;
  const at = lineEnd - own.length + column - 1;
  return { source, start: at, end: at + part.end - part.start };
}
