/** Which values are secrets, and how they are shown. */
import type { JsonSchema } from "../plugin.ts";
import { childPointer, parsePointer } from "../pointer.ts";
import type { Node } from "./tree.ts";
import { secretNames, walkSchema } from "./walk-schema.ts";

export const MASK = "***";

/** Keys that hold secrets even where no schema says so. */
const SUSPICIOUS = /token|secret|passw(or)?d|passphrase|api[-_]?key|credential|private[-_]?key/i;

/** Knows which places of a configuration hold secrets. Where no schema has spoken, names decide. */
export class Secrets {
  readonly #known = new Map<string, boolean>();
  readonly #names = new Set<string>();

  constructor(schemas: Iterable<JsonSchema>) {
    for (const schema of schemas) for (const name of secretNames(schema)) this.#names.add(name);
  }

  /** Takes what a schema says about a value and everything in it. */
  learn(schema: JsonSchema, value: unknown, pointer = ""): void {
    walkSchema(
      schema,
      value,
      (at, { writeOnly }) => {
        if (writeOnly === true || !this.#known.has(at)) this.#known.set(at, writeOnly === true);
      },
      pointer,
    );
  }

  /** Makes one place a secret. */
  add(pointer: string): void {
    this.#known.set(pointer, true);
  }

  isSecret(pointer: string): boolean {
    let at = "";
    for (const key of parsePointer(pointer)) {
      at = childPointer(at, key);
      if (this.#known.get(at) ?? this.isSecretName(key)) return true;
    }
    return false;
  }

  isSecretName(key: string): boolean {
    return this.#names.has(key) || SUSPICIOUS.test(key);
  }
}

const REFERENCE = /(\$\{env:[A-Za-z_][A-Za-z0-9_]*(?::-)?|\$\{file:)([^{}]*)\}/g;

/** Ranges of a secret's text that are not references: what must not be shown. Defaults count as secret. */
export function literalRanges(text: string): [start: number, end: number][] {
  const ranges: [number, number][] = [];
  let last = 0;
  for (const match of text.matchAll(REFERENCE)) {
    const [whole, head = "", rest = ""] = match;
    if (match.index > last) ranges.push([last, match.index]);
    last = match.index + whole.length;
    if (head.endsWith(":-") && rest !== "") ranges.push([last - 1 - rest.length, last - 1]);
  }
  if (last < text.length) ranges.push([last, text.length]);
  return ranges;
}

/** A secret as it may be shown: references stay, everything else is masked. */
function maskText(text: string): string {
  let shown = text;
  for (const [start, end] of literalRanges(text).reverse()) {
    shown = shown.slice(0, start) + MASK + shown.slice(end);
  }
  return shown;
}

const USERINFO = /\b[a-z][a-z0-9+.-]*:\/\/([^\s/?#@"']*@)/gi;

/** Masks user names and passwords of URLs in a text. */
export function maskUserinfo(text: string): string {
  return text.replace(USERINFO, (url, userinfo: string) => `${url.slice(0, -userinfo.length)}${MASK}@`);
}

/**
 * A value as it may be shown. References (`${env:NAME}`) are shown as they were written.
 * @param node where the value came from; undefined for a value that was not written, such as a default
 */
export function maskValue(
  value: unknown,
  node: Node | undefined,
  pointer: string,
  secrets: Secrets,
): unknown {
  if (Array.isArray(value)) {
    const items = node?.kind === "list" ? node.items : [];
    return value.map((item, i) => maskValue(item, items[i], childPointer(pointer, i), secrets));
  }
  if (typeof value === "object" && value !== null) {
    const entries = node?.kind === "map" ? node.entries : undefined;
    // `upstream: name` of a route stands for options in which the name is
    const short = node?.kind === "scalar" ? node : undefined;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        key,
        maskValue(
          item,
          entries?.get(key)?.node ?? (item === short?.value ? short : undefined),
          childPointer(pointer, key),
          secrets,
        ),
      ]),
    );
  }
  const written = node?.kind === "scalar" ? node.written : undefined;
  if (secrets.isSecret(pointer) && value !== "" && value !== null) {
    return written === undefined ? MASK : maskText(written);
  }
  if (written !== undefined) return maskUserinfo(written);
  return typeof value === "string" ? maskUserinfo(value) : value;
}
