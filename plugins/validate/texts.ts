/** Takes texts apart: queries, forms, cookies. Each keeps all the values of a name, in their order. */
import type { HeaderList } from "../../core/headers.ts";

/** All values of each name. */
export type Texts = ReadonlyMap<string, readonly string[]>;

/** A text that is not percent-encoded UTF-8. */
export class NotDecodable extends Error {}

/** Undoes percent-encoding, and `+` for a blank. @throws NotDecodable */
export function decodeQueryText(text: string): string {
  return decodePathText(text.replaceAll("+", " "));
}

/** Undoes percent-encoding. @throws NotDecodable */
export function decodePathText(text: string): string {
  try {
    return text.includes("%") ? decodeURIComponent(text) : text;
  } catch (cause) {
    throw new NotDecodable("must be percent-encoded UTF-8", { cause });
  }
}

/**
 * The parameters of a query or a form. Names are decoded, values are not: what separates their parts may be encoded in
 * them.
 * @throws NotDecodable for a name
 */
export function parseQuery(query: string): Texts {
  const texts = new Map<string, string[]>();
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const at = pair.indexOf("=");
    add(texts, decodeQueryText(at === -1 ? pair : pair.slice(0, at)), at === -1 ? "" : pair.slice(at + 1));
  }
  return texts;
}

export function parseCookies(headers: HeaderList): Texts {
  const texts = new Map<string, string[]>();
  for (const line of headers.getAll("cookie")) {
    for (const pair of line.split(";")) {
      const at = pair.indexOf("=");
      if (at !== -1) add(texts, pair.slice(0, at).trim(), pair.slice(at + 1).trim());
    }
  }
  return texts;
}

function add(texts: Map<string, string[]>, name: string, value: string): void {
  const known = texts.get(name);
  if (known === undefined) texts.set(name, [value]);
  else known.push(value);
}
