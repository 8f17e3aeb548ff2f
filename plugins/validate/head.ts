/** Checks of params, queries and headers against one schema each: an object with a property for each name. */
import type { Exchange } from "../../core/plugin.ts";
import { createFailure, type Failure } from "./failure.ts";
import type { Check, Schemas } from "./schema.ts";
import { findShape, type Shape } from "./shape.ts";
import { decodeQueryText, NotDecodable, parseQuery, type Texts } from "./texts.ts";

/** Values of `:param` segments, decoded. */
export type Params = Readonly<Record<string, string>>;

/** Checks a part of the head of a request. */
export type HeadCheck = (x: Exchange, params: Params) => readonly Failure[];

export function checkParams(schemas: Schemas, schema: object, pointer: string): HeadCheck {
  const check = schemas.compile(schema, "params", pointer);
  const shape = findShape(schema, schema);
  return (_x, params) => {
    const value = createValue();
    for (const [name, text] of Object.entries(params)) value[name] = convertOne(shape, name, text);
    return check(value, Object.keys(value).length);
  };
}

export function checkQuery(schemas: Schemas, schema: object, pointer: string): HeadCheck {
  const check = schemas.compile(schema, "query", pointer);
  const shape = findShape(schema, schema);
  return (x) => checkTexts("query", x.search.slice(1), shape, check);
}

export function checkHeaders(schemas: Schemas, schema: object, pointer: string): HeadCheck {
  const check = schemas.compile(schema, "headers", pointer);
  const shape = findShape(schema, schema);
  return ({ headers }) => {
    const value = createValue();
    for (let i = 0; i < headers.raw.length; i += 2) {
      const name = headers.raw[i]!.toLowerCase();
      value[name] ??= convertOne(shape, name, headers.getJoined(name)!);
    }
    return check(value, headers.raw.length);
  };
}

/** Checks a query or a form: what comes more than once is a list. */
export function checkTexts(
  part: "query" | "body",
  text: string,
  shape: Shape,
  check: Check,
): readonly Failure[] {
  const value = createValue();
  let texts: Texts;
  let size = 1;
  try {
    texts = parseQuery(text);
    for (const [name, raw] of texts) {
      const values = raw.map(decodeQueryText);
      size += values.length;
      const own = shape.properties.get(name);
      if (own?.isList === true) value[name] = values.map((each) => own.items?.convert(each) ?? each);
      else value[name] = values.length === 1 ? convertOne(shape, name, values[0]!) : values;
    }
  } catch (error) {
    if (!(error instanceof NotDecodable)) throw error;
    return [createFailure(part, "", error.message)];
  }
  return check(value, size);
}

function convertOne(shape: Shape, name: string, text: string): unknown {
  const own = shape.properties.get(name);
  return own === undefined ? text : own.convert(text);
}

/** An object that has no properties but its own, whatever they are called. */
export function createValue(): Record<string, unknown> {
  return Object.create(null) as Record<string, unknown>;
}
