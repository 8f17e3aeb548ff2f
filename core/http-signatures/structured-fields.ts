/** Structured fields (RFC 9651), and how HTTP signatures use them. The only door to the package that knows them. */
import {
  type Dictionary,
  type InnerList,
  isInnerList,
  type Item,
  parseDictionary,
  parseItem,
  parseList,
  serializeDictionary,
  serializeInnerList,
  serializeItem,
  serializeList,
} from "structured-headers";

export type { Dictionary, InnerList, Item };
export { isInnerList, serializeDictionary, serializeInnerList, serializeItem };

/** The members of a dictionary field; undefined when it is none. */
export function readDictionary(field: string): Dictionary | undefined {
  return unlessMalformed(() => parseDictionary(field));
}

/** A single item; undefined when it is none. */
export function readItem(field: string): Item | undefined {
  return unlessMalformed(() => parseItem(field));
}

/** Types of request fields that are structured. */
const REWRITERS: ReadonlyMap<string, (field: string) => string> = new Map([
  ...["accept-signature", "content-digest", "priority", "repr-digest"].map(byDictionary),
  ...["signature", "signature-input", "want-content-digest", "want-repr-digest"].map(byDictionary),
  ["client-cert", (field) => serializeItem(parseItem(field))],
  ["client-cert-chain", (field) => serializeList(parseList(field))],
]);

function byDictionary(name: string): [string, (field: string) => string] {
  return [name, (field) => serializeDictionary(parseDictionary(field))];
}

/** Whether a request field is known to be structured. */
export function isStructured(name: string): boolean {
  return REWRITERS.has(name);
}

/** A structured field as it is written strictly; undefined when it is not known to be one, or is malformed. */
export function rewriteField(name: string, field: string): string | undefined {
  const rewrite = REWRITERS.get(name);
  return rewrite && unlessMalformed(() => rewrite(field));
}

/** A member of a dictionary field as it is written strictly; undefined when there is none. */
export function readMember(field: string, key: string): string | undefined {
  const member = readDictionary(field)?.get(key);
  if (member === undefined) return undefined;
  return isInnerList(member) ? serializeInnerList(member) : serializeItem(member);
}

/** The bytes of an item; undefined when it is something else. */
export function bytesOf(member: Item | InnerList | undefined): Buffer | undefined {
  const value = member?.[0];
  return value instanceof ArrayBuffer ? Buffer.from(value) : undefined;
}

function unlessMalformed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}
