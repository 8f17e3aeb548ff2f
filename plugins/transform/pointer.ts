/** Edits of a JSON document by JSON Pointer (RFC 6901). Keys such as `__proto__` are keys like any other. */
import { ConfigError } from "../../core/plugin.ts";
import { isExactNumber } from "./json.ts";

/** A document that can be replaced as a whole. */
export interface Document {
  root: unknown;
}

type Container = Record<string, unknown> | unknown[];

/** A pointer as tokens from a {@link Document}; the first is always `root`. */
export type Tokens = readonly string[];

/**
 * Reads a JSON Pointer.
 * @param at where it stands in the options
 * @throws ConfigError when it is none
 */
export function parsePointer(text: string, at: string): Tokens {
  if (text !== "" && !text.startsWith("/")) {
    throw new ConfigError(`A JSON Pointer begins with a slash: write "/${text}"`, at);
  }
  if (/~(?![01])/.test(text))
    throw new ConfigError("In a JSON Pointer ~ is written ~0 and / is written ~1", at);
  const tokens = text.split("/").slice(1);
  return ["root", ...tokens.map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"))];
}

/**
 * Puts a value where the pointer says. Missing objects on the way are made, and take the place of values that
 * hold nothing; in an array an index up to its length or `-` (the end) is possible.
 * @returns false, and nothing is changed, when an array on the way has no such place
 */
export function setAt(document: Document, tokens: Tokens, value: unknown): boolean {
  let container = document as unknown as Container;
  for (const token of tokens.slice(0, -1)) {
    let next = get(container, token);
    if (!isContainer(next)) {
      next = {};
      if (!put(container, token, next)) return false;
    }
    container = next as Container;
  }
  return put(container, tokens.at(-1)!, value);
}

/** Removes what the pointer names, if it is there. */
export function removeAt(document: Document, tokens: Tokens): void {
  const container = parentOf(document, tokens);
  if (container !== undefined) take(container, tokens.at(-1)!);
}

/** Moves what `from` names to `to`, if it is there and `to` is a possible place (RFC 6902 section 4.4). */
export function moveAt(document: Document, from: Tokens, to: Tokens): void {
  const container = parentOf(document, from);
  const last = from.at(-1)!;
  if (container === undefined || !has(container, last)) return;
  const value = take(container, last);
  if (setAt(document, to, value)) return;
  if (Array.isArray(container)) container.splice(Number(last), 0, value);
  else put(container, last, value);
}

/** Puts the whole document where the pointer says in a new one. */
export function wrapIn(document: Document, tokens: Tokens): void {
  const { root } = document;
  document.root = {};
  setAt(document, tokens, root);
}

function parentOf(document: Document, tokens: Tokens): Container | undefined {
  let container: unknown = document;
  for (const token of tokens.slice(0, -1)) {
    container = get(container as Container, token);
    if (!isContainer(container)) return undefined;
  }
  return container as Container;
}

function isContainer(value: unknown): value is Container {
  return typeof value === "object" && value !== null && !isExactNumber(value);
}

function isIndex(token: string): boolean {
  return /^(0|[1-9]\d*)$/.test(token);
}

function has(container: Container, token: string): boolean {
  return Array.isArray(container)
    ? isIndex(token) && Number(token) < container.length
    : Object.hasOwn(container, token);
}

function get(container: Container, token: string): unknown {
  return has(container, token) ? (container as Record<string, unknown>)[token] : undefined;
}

function put(container: Container, token: string, value: unknown): boolean {
  if (Array.isArray(container)) {
    const index = token === "-" ? container.length : isIndex(token) ? Number(token) : -1;
    if (index < 0 || index > container.length) return false;
    container[index] = value;
  } else if (token === "__proto__") {
    Object.defineProperty(container, token, { value, writable: true, enumerable: true, configurable: true });
  } else {
    container[token] = value;
  }
  return true;
}

function take(container: Container, token: string): unknown {
  if (!has(container, token)) return undefined;
  if (Array.isArray(container)) return container.splice(Number(token), 1)[0];
  const value = container[token];
  delete container[token];
  return value;
}
