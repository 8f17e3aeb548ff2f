/** Parameters of OpenAPI operations: how each is written (`style`, `explode`), and what it must be. */
import { ConfigError, type Exchange } from "../../core/plugin.ts";
import { createFailure, type Failure } from "./failure.ts";
import { childPointer } from "../../core/pointer.ts";
import { createValue, type HeadCheck, type Params } from "./head.ts";
import { parseStrictJson } from "./json.ts";
import type { Check, Schemas } from "./schema.ts";
import { encodePointer, findShape, type Found, isRecord, type Shape } from "./shape.ts";
import {
  decodePathText,
  decodeQueryText,
  NotDecodable,
  parseCookies,
  parseQuery,
  type Texts,
} from "./texts.ts";

const PARTS = { path: "params", query: "query", header: "headers", cookie: "cookies" } as const;
type Place = keyof typeof PARTS;

/** The styles that are known, the default of each place first. */
const STYLES: Readonly<Record<Place, readonly string[]>> = {
  path: ["simple"],
  query: ["form", "spaceDelimited", "pipeDelimited", "deepObject"],
  header: ["simple"],
  cookie: ["form"],
};

/** What stands between the parts of a value that is in one text; blanks and bars come encoded as well. */
const SEPARATORS: Readonly<Record<string, RegExp>> = {
  spaceDelimited: / |\+|%20/,
  pipeDelimited: /\||%7c/i,
};

/** Headers that OpenAPI has other keywords for (section "Parameter Object"). */
const NO_PARAMETERS: ReadonlySet<string> = new Set(["accept", "content-type", "authorization"]);

interface Parameter {
  readonly name: string;
  readonly place: Place;
  readonly isRequired: boolean;
  /** Written as `name[property]`. */
  readonly isDeep: boolean;
  /** Where it has its `schema`; undefined when it may be anything. */
  readonly schema: string | undefined;
  readonly read: (texts: Texts) => unknown;
}

const NOT_DEEP = "must be written as name[property]";

const JSON_LIMITS = { maxDepth: 32, maxKeys: 1000, maxItems: 1000 };

/** Compiles the parameters of one operation, those of its path included. @throws ConfigError */
export function compileParameters(found: readonly Found[], document: unknown, schemas: Schemas): HeadCheck[] {
  const byId = new Map<string, Parameter>();
  for (const each of found) {
    const parameter = readParameter(each, document);
    if (parameter !== undefined) byId.set(`${parameter.place} ${parameter.name}`, parameter);
  }
  const parameters = [...byId.values()];
  return (Object.keys(PARTS) as Place[]).flatMap((place) => {
    const own = parameters.filter((each) => each.place === place);
    if (own.length === 0) return [];
    const schema = {
      type: "object",
      properties: Object.fromEntries(
        own.map((each) => [
          each.name,
          each.schema === undefined ? true : { $ref: `document${encodePointer(`${each.schema}/schema`)}` },
        ]),
      ),
      required: own.filter(({ isRequired }) => isRequired).map(({ name }) => name),
    };
    const check = schemas.compile(schema, PARTS[place], "/openapi");
    return [(x: Exchange, params: Params) => checkPlace(place, own, check, x, params)];
  });
}

function checkPlace(
  place: Place,
  parameters: readonly Parameter[],
  check: Check,
  x: Exchange,
  params: Params,
): readonly Failure[] {
  const value = createValue();
  let name = "";
  let size = 1;
  try {
    const texts = textsOf(place, parameters, x, params);
    if (place === "query") refuseBrackets(texts, parameters);
    for (const parameter of parameters) {
      ({ name } = parameter);
      const one = parameter.read(texts);
      if (one === undefined) continue;
      value[name] = one;
      size += typeof one === "object" && one !== null ? Object.keys(one).length + 1 : 1;
    }
  } catch (error) {
    if (!(error instanceof NotDecodable)) throw error;
    return [createFailure(PARTS[place], name === "" ? "" : `/${name}`, error.message)];
  }
  return check(value, size);
}

/** `limit[a]=1` is `limit` to many an upstream, and would get there unchecked. @throws NotDecodable */
function refuseBrackets(texts: Texts, parameters: readonly Parameter[]): void {
  for (const key of texts.keys()) {
    const at = key.indexOf("[");
    if (at < 1 || parameters.some(({ name }) => name === key)) continue;
    const meant = parameters.find(({ name }) => name === key.slice(0, at));
    if (meant !== undefined && !meant.isDeep) throw new NotDecodable(`must not be written as ${meant.name}[`);
  }
}

function textsOf(place: Place, parameters: readonly Parameter[], x: Exchange, params: Params): Texts {
  if (place === "query") return parseQuery(x.search.slice(1));
  if (place === "cookie") return parseCookies(x.headers);
  const texts = new Map<string, string[]>();
  for (const { name } of parameters) {
    const text = place === "header" ? x.headers.getJoined(name) : params[name];
    if (text !== undefined) texts.set(name, [text]);
  }
  return texts;
}

function readParameter({ value, pointer }: Found, document: unknown): Parameter | undefined {
  const refuse = (message: string): never => {
    throw new ConfigError(`${message}: ${pointer}`, "/openapi");
  };
  if (!isRecord(value)) return refuse("A parameter is an object with `name` and `in`");
  const { name: written, in: place, required, style, content, schema } = value;
  if (typeof written !== "string" || !isPlace(place))
    return refuse("A parameter has `name` and a known `in`");
  const name = place === "header" ? written.toLowerCase() : written;
  if (place === "header" && NO_PARAMETERS.has(name)) return undefined;
  const [usual] = STYLES[place];
  const how = style ?? usual;
  if (typeof how !== "string" || !STYLES[place].includes(how))
    return refuse(`The style "${String(how)}" is not supported`);
  const explode =
    typeof value["explode"] === "boolean" ? value["explode"] : how === "form" || how === "deepObject";
  const isRequired = place === "path" || required === true;
  const decode =
    place === "query" || place === "cookie" ? decodeQueryText : place === "path" ? decodePathText : String;
  if (isRecord(content)) {
    const [media] = Object.keys(content);
    const inside = media === undefined ? undefined : content[media];
    const isJson = media !== undefined && /[/+]json$/i.test(media);
    const hasSchema = isRecord(inside) && inside["schema"] !== undefined;
    return {
      name,
      place,
      isRequired,
      isDeep: false,
      schema: hasSchema ? childPointer(`${pointer}/content`, media!) : undefined,
      read: (texts) => readContent(texts.get(name), decode, isJson),
    };
  }
  const shape = findShape(schema, document);
  const reader = new Reader(name, how, explode, shape, decode);
  return {
    name,
    place,
    isRequired,
    isDeep: how === "deepObject",
    schema: schema === undefined ? undefined : pointer,
    read: (texts) => reader.read(texts),
  };
}

const isPlace = (text: unknown): text is Place => typeof text === "string" && Object.hasOwn(PARTS, text);

function readContent(
  texts: readonly string[] | undefined,
  decode: (text: string) => string,
  isJson: boolean,
): unknown {
  if (texts === undefined) return undefined;
  if (texts.length > 1) return texts;
  const text = decode(texts[0]!);
  if (!isJson) return text;
  try {
    return parseStrictJson(text, JSON_LIMITS).value;
  } catch (error) {
    throw new NotDecodable((error as Error).message, { cause: error });
  }
}

/** Reads the value of one parameter out of texts. */
class Reader {
  readonly #name: string;
  readonly #style: string;
  readonly #explode: boolean;
  readonly #shape: Shape;
  readonly #decode: (text: string) => string;

  constructor(name: string, style: string, explode: boolean, shape: Shape, decode: (text: string) => string) {
    this.#name = name;
    this.#style = style;
    this.#explode = explode;
    this.#shape = shape;
    this.#decode = decode;
  }

  /** Undefined when it is not there. @throws NotDecodable */
  read(texts: Texts): unknown {
    const { isObject, isList } = this.#shape;
    if (isObject && this.#style === "deepObject") return this.#deepObject(texts);
    if (isObject && this.#style === "form" && this.#explode) return this.#looseObject(texts);
    const values = texts.get(this.#name);
    if (values === undefined) return undefined;
    if (isList && this.#explode && this.#style !== "simple") return values.map((text) => this.#item(text));
    if (values.length > 1) throw new NotDecodable("must be there once");
    const [text = ""] = values;
    if (isList) return text === "" ? [] : this.#split(text).map((each) => this.#item(each));
    if (isObject) return this.#object(this.#split(text));
    return this.#shape.convert(this.#decode(text));
  }

  #split(text: string): string[] {
    return text.split(SEPARATORS[this.#style] ?? ",");
  }

  #item(text: string): unknown {
    const one = this.#decode(text.trim());
    return this.#shape.items?.convert(one) ?? one;
  }

  #property(object: Record<string, unknown>, key: string, text: string): void {
    if (Object.hasOwn(object, key)) throw new NotDecodable("must have each property once");
    object[key] = this.#shape.properties.get(key)?.convert(text) ?? text;
  }

  /** `a,1,b,2`, or `a=1,b=2` with `explode`. */
  #object(parts: readonly string[]): Record<string, unknown> {
    const object = createValue();
    for (let i = 0; i < parts.length; i += this.#explode ? 1 : 2) {
      const part = parts[i]!;
      const at = this.#explode ? part.indexOf("=") : part.length;
      const value = this.#explode ? part.slice(at + 1) : parts[i + 1];
      if (at === -1 || value === undefined) throw new NotDecodable("must be pairs of a name and a value");
      this.#property(object, this.#decode(part.slice(0, at)), this.#decode(value));
    }
    return object;
  }

  /** `name[a]=1&name[b]=2`. */
  #deepObject(texts: Texts): Record<string, unknown> | undefined {
    const object = createValue();
    let isThere = false;
    if (texts.has(this.#name)) throw new NotDecodable(NOT_DEEP);
    for (const [key, values] of texts) {
      if (!key.startsWith(`${this.#name}[`)) continue;
      isThere = true;
      const inside = key.slice(this.#name.length + 1, -1);
      // Upstreams nest what has more brackets, or take it for a list.
      if (!key.endsWith("]") || /^$|[[\]]/.test(inside)) throw new NotDecodable(NOT_DEEP);
      if (values.length > 1) throw new NotDecodable("must have each property once");
      this.#property(object, inside, this.#decode(values[0]!));
    }
    return isThere ? object : undefined;
  }

  /** `a=1&b=2`: each property is a parameter of its own. */
  #looseObject(texts: Texts): Record<string, unknown> | undefined {
    const object = createValue();
    let isThere = false;
    for (const key of this.#shape.properties.keys()) {
      const values = texts.get(key);
      if (values === undefined) continue;
      isThere = true;
      if (values.length > 1) throw new NotDecodable("must have each property once");
      this.#property(object, key, this.#decode(values[0]!));
    }
    return isThere ? object : undefined;
  }
}
