/**
 * Reads JSON that all parsers understand in the same way: no key twice in an object, no `__proto__`, and not more of
 * anything than is allowed. What is checked here must be what the upstream reads.
 */
import { childPointer } from "../../core/pointer.ts";

export interface JsonLimits {
  readonly maxDepth: number;
  /** Most keys of one object. */
  readonly maxKeys: number;
  /** Most items of one list. */
  readonly maxItems: number;
}

/** JSON that is not let in; the message is for the client. */
export class JsonRefused extends Error {
  readonly pointer: string;

  constructor(message: string, pointer: string) {
    super(message);
    this.pointer = pointer;
  }
}

export interface ParsedJson {
  readonly value: unknown;
  /** How many values there are in it, itself included; an empty list counts for two. */
  readonly size: number;
}

/** An object or a list that is not closed yet. */
interface Open {
  /** Keys so far; undefined for a list. */
  readonly keys: Set<string> | undefined;
  key: string;
  /** Items of a list so far, but the last. */
  commas: number;
}

/** @throws JsonRefused */
export function parseStrictJson(text: string, limits: JsonLimits): ParsedJson {
  const size = scan(text, limits);
  try {
    return { value: JSON.parse(text), size };
  } catch {
    throw new JsonRefused("must be JSON", "");
  }
}

/** Looks at brackets and keys only: whether it is JSON at all is for the parser to say, after this has bounded it. */
function scan(text: string, { maxDepth, maxKeys, maxItems }: JsonLimits): number {
  const open: Open[] = [];
  let size = 1;
  let expectsKey = false;
  for (let at = 0; at < text.length; at++) {
    const top = open.at(-1);
    switch (text.charCodeAt(at)) {
      case 0x22: {
        const end = endOfText(text, at);
        if (expectsKey && top?.keys !== undefined) {
          addKey(top, top.keys, text.slice(at, end + 1), open, maxKeys);
          size++;
        }
        expectsKey = false;
        at = end;
        break;
      }
      case 0x7b: // {
      case 0x5b: // [
        if (open.length >= maxDepth) refuse(`must be nested at most ${maxDepth} deep`, open);
        expectsKey = text[at] === "{";
        open.push({ keys: expectsKey ? new Set() : undefined, key: "", commas: 0 });
        if (!expectsKey) size++; // its first item
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        expectsKey = false;
        break;
      case 0x2c: // ,
        if (top === undefined) break;
        expectsKey = top.keys !== undefined;
        if (expectsKey) break;
        size++;
        if (++top.commas >= maxItems) {
          open.pop();
          refuse(`must have at most ${maxItems} items`, open);
        }
    }
  }
  return size;
}

/** Where the text that begins at a quote ends: its other quote, or the end. */
function endOfText(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) return at;
    if (code === 0x5c) at++; // backslash
  }
  return text.length;
}

function addKey(top: Open, keys: Set<string>, quoted: string, open: Open[], maxKeys: number): void {
  let key = quoted.slice(1, -1);
  if (key.includes("\\")) {
    try {
      key = JSON.parse(quoted) as string;
    } catch {
      throw new JsonRefused("must be JSON", "");
    }
  }
  if (keys.size >= maxKeys) {
    open.pop();
    refuse(`must have at most ${maxKeys} keys`, open);
  }
  top.key = key;
  if (keys.has(key)) refuse("must be there once", open);
  if (key === "__proto__") refuse("is not allowed as a key", open);
  keys.add(key);
}

/** @throws JsonRefused at the key or item that the innermost of `open` is at */
function refuse(message: string, open: readonly Open[]): never {
  let pointer = "";
  for (const { keys, key, commas } of open) {
    pointer = childPointer(pointer, keys === undefined ? commas : key);
    if (pointer.length > 1000) break;
  }
  throw new JsonRefused(message, pointer);
}
