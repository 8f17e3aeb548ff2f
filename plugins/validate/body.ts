/** Checks bodies: their media type, their size, and JSON or a form against a schema. */
import { type Exchange, GatewayError } from "../../core/plugin.ts";
import { createFailure, type Failure } from "./failure.ts";
import { checkTexts } from "./head.ts";
import { type JsonLimits, JsonRefused, parseStrictJson } from "./json.ts";
import type { Check } from "./schema.ts";
import type { Shape } from "./shape.ts";

/** What bodies of one media type must be. */
export interface MediaType {
  /** `application/json`, `+json`, `text/*` or any; lower case. */
  readonly pattern: string;
  readonly kind: "json" | "form" | "any";
  readonly check: Check | undefined;
  readonly shape: Shape | undefined;
}

export interface BodyRule {
  readonly isRequired: boolean;
  /** The better first; none when no body may come. */
  readonly types: readonly MediaType[];
}

export interface BodyLimits extends JsonLimits {
  readonly maxBytes: number;
}

const fail = (message: string, pointer = ""): Failure[] => [createFailure("body", pointer, message)];

/** Gives a promise only when there is a body to be read. @throws GatewayError 413, 415 */
export function checkBody(
  x: Exchange,
  rule: BodyRule,
  limits: BodyLimits,
): readonly Failure[] | Promise<readonly Failure[]> {
  const { body } = x;
  if (body === null || body.length === 0) return rule.isRequired ? fail("must be there") : [];
  if (rule.types.length === 0) return fail("must not be there");
  const type = findType(x, rule.types);
  if (type.kind === "any") return [];
  if (body.length !== undefined && body.length > limits.maxBytes) throw new GatewayError("BODY_TOO_LARGE");
  return readAndCheck(x, type, rule, limits);
}

/** @throws GatewayError CONTENT_TYPE_UNSUPPORTED */
function findType({ headers }: Exchange, types: readonly MediaType[]): MediaType {
  const fields = headers.getAll("content-type");
  const [media = "", ...parameters] = (fields.length === 1 ? fields[0]! : "").split(";");
  const name = media.trim().toLowerCase();
  const found = types.find(({ pattern }) => isOfType(name, pattern));
  // Whoever reads JSON in another charset reads another document.
  const isForeign = parameters.some(
    (each) => /^\s*charset\s*=/i.test(each) && !/=\s*"?utf-8"?\s*$/i.test(each),
  );
  if (found === undefined || (isForeign && found.kind !== "any")) {
    const accepted = types.map(({ pattern }) => pattern).join(", ");
    throw new GatewayError("CONTENT_TYPE_UNSUPPORTED", { detail: `Bodies are ${accepted}, in UTF-8` });
  }
  return found;
}

function isOfType(name: string, pattern: string): boolean {
  if (!/^[^/\s,]+\/[^/\s,]+$/.test(name)) return false;
  if (pattern === "*/*") return true;
  if (pattern.startsWith("+")) return name.endsWith(pattern);
  return pattern.endsWith("/*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

// A byte order mark stays: it is not JSON, and parsers differ about it.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

async function readAndCheck(
  x: Exchange,
  { kind, check, shape }: MediaType,
  rule: BodyRule,
  limits: BodyLimits,
): Promise<readonly Failure[]> {
  const bytes = await x.readBody(limits.maxBytes);
  if (bytes.length === 0) return rule.isRequired ? fail("must be there") : [];
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    return fail("must be UTF-8");
  }
  if (kind === "form") {
    if (text.split("&", limits.maxKeys + 1).length > limits.maxKeys) {
      return fail(`must have at most ${limits.maxKeys} fields`);
    }
    return check === undefined ? [] : checkTexts("body", text, shape!, check);
  }
  try {
    const { value, size } = parseStrictJson(text, limits);
    return check === undefined ? [] : check(value, size);
  } catch (error) {
    if (error instanceof JsonRefused) return fail(error.message, error.pointer);
    throw error;
  }
}
