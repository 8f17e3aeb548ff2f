/** What texts stand for, by a schema: queries, params, headers and cookies have texts only. */
import { parsePointer } from "../../core/pointer.ts";

/** What a schema says of the kind of value, as far as it is plain to see. */
export interface Shape {
  readonly isList: boolean;
  readonly isObject: boolean;
  /** The value that a text is, for the check alone; the text itself where it is of no other kind. */
  convert(text: string): unknown;
  /** Of the items of a list. */
  readonly items: Shape | undefined;
  /** Of the properties of an object. */
  readonly properties: ReadonlyMap<string, Shape>;
}

/** Deepest reference or branch that is followed. */
const MAX_DEPTH = 8;

const INTEGER = /^-?(?:0|[1-9]\d*)$/;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

type Schema = Readonly<Record<string, unknown>>;

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A part of a document, and where it is: `#/…`, as in references. */
export interface Found {
  readonly value: unknown;
  readonly pointer: string;
}

/** A pointer as references have it: a fragment of a URI. Parts that came from references are encoded already. */
export function encodePointer(pointer: string): string {
  const encode = (part: string): string => (/%[\da-f]{2}/i.test(part) ? part : encodeURIComponent(part));
  return `#${pointer.slice(1).split("/").map(encode).join("/")}`;
}

/** What `#/a/b` means in a document; undefined for other references and for nothing. */
export function lookUp(reference: unknown, document: unknown): unknown {
  if (typeof reference !== "string" || !/^#(?:\/|$)/.test(reference)) return undefined;
  let found = document;
  for (const key of parsePointer(decodeURIComponent(reference.slice(1)))) {
    const inside: unknown = found;
    if (typeof inside !== "object" || inside === null || !Object.hasOwn(inside, key)) return undefined;
    found = (inside as Record<string, unknown>)[key];
  }
  return found;
}

/** @param document what `#/…` refers to */
export function findShape(schema: unknown, document: unknown, depth = 0): Shape {
  const parts = branches(schema, document);
  const types = new Set(parts.flatMap(typesOf));
  const properties = new Map<string, Shape>();
  let items: Shape | undefined;
  if (depth < MAX_DEPTH) {
    for (const part of parts) {
      if (part["items"] !== undefined) items ??= findShape(part["items"], document, depth + 1);
      for (const [key, own] of Object.entries(isRecord(part["properties"]) ? part["properties"] : {})) {
        if (!properties.has(key)) properties.set(key, findShape(own, document, depth + 1));
      }
    }
  }
  return {
    isList: types.has("array"),
    isObject: types.has("object"),
    items,
    properties,
    convert: (text) => convert(text, types),
  };
}

function convert(text: string, types: ReadonlySet<string>): unknown {
  if (types.has("number") && NUMBER.test(text)) return Number(text);
  if (types.has("integer") && INTEGER.test(text)) return Number(text);
  if (types.has("boolean") && (text === "true" || text === "false")) return text === "true";
  if (types.has("null") && text === "null") return null;
  return text;
}

/** The schema, what it refers to, and the branches of these: all that may say something of the same value. */
function branches(schema: unknown, document: unknown, depth = 0): Schema[] {
  if (!isRecord(schema) || depth > MAX_DEPTH) return [];
  const below = ["allOf", "anyOf", "oneOf"].flatMap((keyword) =>
    Array.isArray(schema[keyword]) ? (schema[keyword] as unknown[]) : [],
  );
  return [
    schema,
    ...[lookUp(schema["$ref"], document), ...below].flatMap((each) => branches(each, document, depth + 1)),
  ];
}

function typesOf({ type, const: only, enum: values }: Schema): string[] {
  if (type !== undefined) return [type].flat() as string[];
  const known: unknown[] = Array.isArray(values) ? values : only === undefined ? [] : [only];
  return known.map((value) => (value === null ? "null" : typeof value));
}
