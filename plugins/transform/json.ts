/**
 * JSON whose numbers stay what they are: one that a double cannot hold (`12345678901234567890`, `1e400`) or
 * writes otherwise (`1.0`) is kept as its source text, and written as such.
 */

/** The part of JSON that TypeScript's library does not know yet (ECMAScript, JSON.parse source text access). */
interface SourceJson {
  parse(
    text: string,
    revive: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): object;
  isRawJSON(value: unknown): boolean;
}

const source = JSON as unknown as SourceJson;

/** Texts that may hold a number whose form matters; most have none, and are parsed without a reviver. */
const NUMBERS_OF_NOTE = /\d{16}|\d[.eE]|-0/;

/** True for a number that is kept as its source text. */
export function isExactNumber(value: unknown): boolean {
  return source.isRawJSON(value);
}

/** @throws SyntaxError when it is not JSON, RangeError when it is nested too deeply */
export function parseJson(text: string): unknown {
  if (!NUMBERS_OF_NOTE.test(text)) return JSON.parse(text);
  return source.parse(text, (_key, value, context) =>
    typeof value === "number" && String(value) !== context.source ? source.rawJSON(context.source!) : value,
  );
}
