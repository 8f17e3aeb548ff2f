/** Diagnostics as text for people. */
import { relative } from "node:path";
import type { Diagnostic, Excerpt } from "./diagnose.ts";

export interface RenderOptions {
  /** Folder that paths are shown from. */
  readonly cwd: string;
  readonly colour: boolean;
  /** `error` by default. */
  readonly severity?: "error" | "warning";
}

type Paint = (text: string) => string;

interface Palette {
  readonly bold: Paint;
  readonly red: Paint;
  readonly dim: Paint;
}

const paint =
  (code: number): Paint =>
  (text) =>
    `\u001b[${code}m${text}\u001b[0m`;
const PLAIN: Palette = { bold: String, red: String, dim: String };
const COLOURS: Palette = { bold: paint(1), red: paint(31), dim: paint(2) };

/** One diagnostic: a line that says where and what, the source line, and carets below it. */
export function renderDiagnostic(
  diagnostic: Diagnostic,
  { cwd, colour, severity = "error" }: RenderOptions,
): string {
  const { bold, red } = colour ? COLOURS : PLAIN;
  const { code, line, excerpt } = diagnostic;
  const where = renderPlace(diagnostic, cwd);
  const head = `${where === "" ? "" : `${bold(where)} `}${red(severity)} ${code}  ${renderMessage(diagnostic)}`;
  return line === undefined || excerpt === undefined
    ? head
    : `${head}\n${renderExcerpt(excerpt, line, colour)}`;
}

/** The message with the suggestion. */
export function renderMessage({ message, suggestion }: Diagnostic): string {
  return suggestion === undefined ? message : `${message}; did you mean ${JSON.stringify(suggestion)}?`;
}

/** `gateway.yaml:12:7`, or the pointer where there is no file. */
export function renderPlace({ file, line, column, pointer }: Diagnostic, cwd: string): string {
  if (file === undefined) return pointer;
  const short = relative(cwd, file);
  const name = short.startsWith("../../") ? file : short;
  return line === undefined ? name : `${name}:${line}:${column}`;
}

/** A line of a file with carets below what is meant. */
export function renderExcerpt({ text, start, end }: Excerpt, line: number, colour: boolean): string {
  const { red, dim } = colour ? COLOURS : PLAIN;
  const gutter = String(line).padStart(5);
  // Tabs stay tabs and wide characters take two columns, so that the carets stand below what they mean.
  const before = text.slice(0, start).replace(/[^\t]/gu, blank);
  const carets = "^".repeat(
    Math.max(
      1,
      [...text.slice(start, end)].reduce((sum, c) => sum + blank(c).length, 0),
    ),
  );
  return `${dim(`${gutter} |`)} ${text}\n${dim(`${" ".repeat(gutter.length)} |`)} ${before}${red(carets)}`;
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60]/u;
const blank = (c: string): string => (WIDE.test(c) ? "  " : /\p{Mark}/u.test(c) ? "" : " ");
