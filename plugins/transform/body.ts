/**
 * Body edits: JSON by pointer (remove, rename, set, wrap, in this order), then text replacement. Bodies are read
 * whole, up to a cap, decoded, and sent on in the clear.
 */
import { compileText, escapeFor, type Text } from "../../core/option-text.ts";
import {
  ConfigError,
  type Exchange,
  type FromSchema,
  GatewayError,
  type JsonSchema,
  type Reply,
} from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { parseSize, size } from "../../core/units.ts";
import { parseJson } from "./json.ts";
import { type Document, moveAt, parsePointer, removeAt, setAt, type Tokens, wrapIn } from "./pointer.ts";

export const bodySchema = <const D extends string>(description: D) =>
  ({
    type: "object",
    description,
    properties: {
      remove: {
        type: "array",
        items: { type: "string" },
        default: [],
        description: "JSON Pointers to what is removed.",
      },
      rename: {
        type: "object",
        default: {},
        additionalProperties: { type: "string" },
        description: "JSON Pointers to new places by pointers to old ones.",
      },
      set: {
        type: "object",
        default: {},
        additionalProperties: true,
        description: "Values by JSON Pointer. Texts are templates, other values are taken as they are.",
      },
      wrap: {
        type: "string",
        pattern: "^/",
        description: "JSON Pointer under which the whole document is put.",
      },
      replace: {
        type: "array",
        default: [],
        description: "Text replacements, each over the whole body, after all edits of JSON.",
        items: {
          type: "object",
          properties: {
            search: {
              description: "Text to look for, or `{ regex }`.",
              anyOf: [
                { type: "string", minLength: 1 },
                {
                  type: "object",
                  properties: {
                    regex: { type: "string", minLength: 1, description: "A JavaScript regular expression." },
                  },
                  required: ["regex"],
                  additionalProperties: false,
                },
              ],
            },
            with: {
              type: "string",
              description:
                "What is put in its place, a template; `$1` and `$<name>` are groups of a `regex`.",
            },
          },
          required: ["search", "with"],
          additionalProperties: false,
        },
      },
      contentTypes: {
        type: "array",
        minItems: 1,
        items: { type: "string", pattern: "^([^\\s/;+*]+/([^\\s/;*]+|\\*)|\\+[^\\s/;*]+|\\*/\\*)$" },
        description:
          "Media types that are edited, such as text/html, text/* or +json. By default application/json and +json; where there is only `replace`, text/* (not text/event-stream), XML and JavaScript as well.",
      },
      max: size("1MB", "Largest body that is read, as it came and decoded."),
    },
    additionalProperties: false,
  }) as const satisfies JsonSchema;

export type BodyOptions = FromSchema<ReturnType<typeof bodySchema>>;

/** A compiled edit of bodies. */
export interface BodyEdit {
  readonly maxBytes: number;
  /** True when the body must be JSON. */
  readonly needsJson: boolean;
  appliesTo(contentType: string | undefined): boolean;
  /** @throws SyntaxError, RangeError when the text must be JSON and is not */
  apply(text: string, contentType: string | undefined, x: Exchange, reply?: Reply): string;
}

type JsonEdit = (document: Document, x: Exchange, reply?: Reply) => void;
type TextEdit = (text: string, x: Exchange, reply?: Reply) => string;

const JSON_TYPES = ["application/json", "+json"];
const TEXT_TYPES = [...JSON_TYPES, "text/*", "application/xml", "+xml", "application/javascript"];
/** Types that stand for the ways values are escaped. */
const ESCAPES = ["application/json", "text/html", "text/plain"].map(escapeFor);

/**
 * Compiles body edits; undefined when there are none.
 * @throws ConfigError for bad pointers, regular expressions and templates
 */
export function compileBodyEdit(options: BodyOptions | undefined, pointer: string): BodyEdit | undefined {
  if (options === undefined) return undefined;
  const jsonEdits = compileJsonEdits(options, pointer);
  const needsJson = jsonEdits.length > 0;
  if (!needsJson && options.replace.length === 0) return undefined;
  const textEdits = new Map(
    ESCAPES.map((quote) => [quote, compileReplacements(options.replace, quote, `${pointer}/replace`)]),
  );
  return {
    maxBytes: parseSize(options.max),
    needsJson,
    appliesTo: compileTypes(options.contentTypes ?? (needsJson ? JSON_TYPES : TEXT_TYPES)),
    apply(text, contentType, x, reply) {
      if (needsJson) {
        const document: Document = { root: parseJson(text) };
        for (const edit of jsonEdits) edit(document, x, reply);
        text = JSON.stringify(document.root);
      }
      for (const edit of textEdits.get(escapeFor(contentType))!) text = edit(text, x, reply);
      return text;
    },
  };
}

/** Edits the body of a request, if it has one. */
export async function editRequestBody(edit: BodyEdit, x: Exchange): Promise<void> {
  if (x.body === null || x.body.length === 0) return;
  const contentType = x.headers.get("content-type");
  if (!edit.appliesTo(contentType)) {
    if (!edit.needsJson) return;
    throw new GatewayError("BODY_NOT_JSON", { detail: "The Content-Type of the request is not one of JSON" });
  }
  const bytes = await x.readBody(edit.maxBytes);
  if (bytes.length === 0) return;
  try {
    const text = decodeUtf8(bytes);
    const edited = edit.apply(text, contentType, x);
    if (edited !== text) x.setBody(edited);
  } catch (error) {
    throw bodyError(error, edit.needsJson ? "BODY_NOT_JSON" : "BODY_INVALID");
  }
}

/** Edits the body of a reply, if it has one of a type that is edited. */
export async function editReplyBody(edit: BodyEdit, x: Exchange, reply: Reply): Promise<void> {
  const contentType = reply.headers.get("content-type");
  if (reply.body === null || !edit.appliesTo(contentType)) return;
  const bytes = await reply.readBody(edit.maxBytes);
  if (bytes.length === 0) return;
  try {
    const text = decodeUtf8(bytes);
    const edited = edit.apply(text, contentType, x, reply);
    if (edited !== text) reply.setBody(edited);
  } catch (error) {
    throw bodyError(error, "UPSTREAM_BODY_INVALID");
  }
}

/** What the body turned out not to be; anything else goes up as it is. */
function bodyError(
  error: unknown,
  code: "BODY_NOT_JSON" | "BODY_INVALID" | "UPSTREAM_BODY_INVALID",
): unknown {
  if (error instanceof NotUtf8)
    return new GatewayError(code, { detail: "The body is not UTF-8", cause: error });
  if (error instanceof SyntaxError) {
    return new GatewayError(code, { detail: "The body is not valid JSON", cause: error });
  }
  if (error instanceof RangeError) {
    return new GatewayError(code, { detail: "The body is nested too deeply", cause: error });
  }
  return error;
}

class NotUtf8 extends Error {}

const utf8 = new TextDecoder("utf-8", { fatal: true });

function decodeUtf8(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new NotUtf8("not UTF-8", { cause });
  }
}

function compileTypes(patterns: readonly string[]): (contentType: string | undefined) => boolean {
  const exact = new Set<string>();
  const prefixes: string[] = [];
  const suffixes: string[] = [];
  for (const pattern of patterns.map((p) => p.toLowerCase())) {
    if (pattern === "*/*") return () => true;
    if (pattern.startsWith("+")) suffixes.push(pattern);
    else if (pattern.endsWith("/*")) prefixes.push(pattern.slice(0, -1));
    else exact.add(pattern);
  }
  return (contentType) => {
    if (contentType === undefined) return false;
    const type = contentType.split(";", 1)[0]!.trim().toLowerCase();
    if (exact.has(type)) return true;
    if (suffixes.some((suffix) => type.endsWith(suffix))) return true;
    return type !== "text/event-stream" && prefixes.some((prefix) => type.startsWith(prefix));
  };
}

function compileJsonEdits(options: BodyOptions, pointer: string): JsonEdit[] {
  const edits: JsonEdit[] = [];
  for (const [i, text] of options.remove.entries()) {
    const at = `${pointer}/remove/${i}`;
    const tokens = parsePointer(text, at);
    if (tokens.length === 1) throw new ConfigError("The whole document cannot be removed", at);
    edits.push((document) => removeAt(document, tokens));
  }
  for (const [from, to] of Object.entries(options.rename)) {
    const at = childPointer(`${pointer}/rename`, from);
    const [source, target] = [parsePointer(from, at), parsePointer(to, at)];
    if (source.length === 1) throw new ConfigError("Use `wrap` to move the whole document", at);
    if (isBelow(target, source)) throw new ConfigError("A value cannot be moved into itself", at);
    edits.push((document) => moveAt(document, source, target));
  }
  for (const [key, value] of Object.entries(options.set)) {
    const at = childPointer(`${pointer}/set`, key);
    edits.push(compileSet(parsePointer(key, at), value, at));
  }
  if (options.wrap !== undefined) {
    const tokens = parsePointer(options.wrap, `${pointer}/wrap`);
    edits.push((document) => wrapIn(document, tokens));
  }
  return edits;
}

function isBelow(tokens: Tokens, ancestor: Tokens): boolean {
  return tokens.length > ancestor.length && ancestor.every((token, i) => token === tokens[i]);
}

function compileSet(tokens: Tokens, value: unknown, at: string): JsonEdit {
  const fixed = typeof value === "string" ? compileText(value, at) : value;
  if (typeof fixed === "function") {
    const template = fixed as Exclude<Text, string>;
    return (document, x, reply) => {
      const text = template(x, reply);
      if (text !== undefined) setAt(document, tokens, text);
    };
  }
  // later edits may reach into the value, so each document gets its own
  return (document) => setAt(document, tokens, structuredClone(fixed));
}

function compileReplacements(
  replacements: BodyOptions["replace"],
  quote: (value: string) => string,
  pointer: string,
): TextEdit[] {
  return replacements.map(({ search, with: source }, i) => {
    const at = `${pointer}/${i}`;
    if (typeof search === "string") {
      const text = compileText(source, `${at}/with`, quote);
      return replacer(text, (body, value) => body.replaceAll(search, () => value));
    }
    const regex = compileRegex(search.regex, `${at}/search/regex`);
    const text = compileText(source, `${at}/with`, (value) => quote(value).replaceAll("$", "$$$$"));
    return replacer(text, (body, value) => body.replace(regex, value));
  });
}

function replacer(text: Text, replace: (body: string, value: string) => string): TextEdit {
  if (typeof text === "string") return (body) => replace(body, text);
  return (body, x, reply) => {
    const value = text(x, reply);
    return value === undefined ? body : replace(body, value);
  };
}

function compileRegex(source: string, at: string): RegExp {
  try {
    return new RegExp(source, "gu");
  } catch (error) {
    throw new ConfigError((error as Error).message, at, "CONFIG_REGEX");
  }
}
