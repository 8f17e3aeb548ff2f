/** The line of an author's file that a stack trace tells of, for people. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { renderExcerpt } from "../config/render.ts";

/** Longer lines are no code that anybody has written. */
const LONGEST_LINE = 200;

/**
 * @param stack of a script, mapped to the author's files
 * @param baseDir that their names start from
 * @returns undefined when there is no such file, or it has changed too much
 */
export function frameOf(stack: string, baseDir: string, colour: boolean): string | undefined {
  const [, file, row, column] = /^\s+at (?:.* \()?(.+):(\d+):(\d+)\)?$/m.exec(stack) ?? [];
  if (file === undefined) return undefined;
  let text: string | undefined;
  try {
    text = readFileSync(resolve(baseDir, file), "utf8").split(/\r?\n/)[Number(row) - 1];
  } catch {
    return undefined;
  }
  if (text === undefined || text.length > LONGEST_LINE) return undefined;
  const start = Number(column) - 1;
  const [word = " "] = /^[\w$]+/.exec(text.slice(start)) ?? [];
  return renderExcerpt({ text, start, end: start + word.length }, Number(row), colour);
}
