/** What a client sends to log in: a form, or the same as JSON. */
import { type Exchange, GatewayError } from "../../core/plugin.ts";

const MOST_BYTES = 8 * 1024;

/** What is wrong with a request, as RFC 6749 section 5.2 has it said. Nothing that was sent is in it. */
const invalid = (what: string): GatewayError =>
  new GatewayError("VALIDATION_FAILED", { members: { error: "invalid_request", error_description: what } });

/**
 * The fields that are asked for, each a text that is not empty. Others are not looked at.
 * @throws GatewayError VALIDATION_FAILED, CONTENT_TYPE_UNSUPPORTED, or why the body cannot be read
 */
export async function readFields<K extends string>(
  x: Exchange,
  names: readonly K[],
): Promise<Record<K, string>> {
  const [type = ""] = x.headers.getJoined("content-type")?.split(";", 1) ?? [];
  const parse = PARSERS.get(type.trim().toLowerCase());
  if (parse === undefined) throw new GatewayError("CONTENT_TYPE_UNSUPPORTED");
  const read = parse((await x.readBody(MOST_BYTES)).toString());
  const fields = names.map((name) => {
    const value = read(name);
    if (value === undefined || value === "") throw invalid(`${name} is missing`);
    if (Array.isArray(value)) throw invalid(`${name} must be there once`);
    if (typeof value !== "string") throw invalid(`${name} must be a text`);
    return [name, value.normalize("NFC")] as const;
  });
  return Object.fromEntries(fields) as Record<K, string>;
}

/** Gives a field; a list when it is there more than once. */
type Read = (name: string) => unknown;

const NO_OBJECT = "the body must be a JSON object";

const PARSERS: ReadonlyMap<string, (text: string) => Read> = new Map([
  ["application/json", parseJson],
  ["application/x-www-form-urlencoded", parseForm],
]);

function parseJson(text: string): Read {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalid(NO_OBJECT);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(NO_OBJECT);
  return (name) => (Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined);
}

function parseForm(text: string): Read {
  const form = new URLSearchParams(text);
  return (name) => {
    const values = form.getAll(name);
    return values.length > 1 ? values : values[0]; // nobody could tell which of two counts
  };
}
