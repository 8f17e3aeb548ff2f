/**
 * String templates over a request: `/v2/{id}`, `{client.ip}`, `{request.header.x-tenant}`. Compiled once.
 * `{name}` is a route parameter, `{*}` what a prefix match left over; `{{` and `}}` are literal braces.
 */
import { readCookie } from "./cookies.ts";
import { ConfigError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { Reply } from "./reply.ts";

/** Gives the text for an exchange (and its reply, in the response phase); undefined when its only variable is absent. */
export type Template = (x: Exchange, reply?: Reply) => string | undefined;

type Variable = Template;

const FIXED: Readonly<Record<string, Variable>> = {
  "request.id": (x) => x.id,
  "request.method": (x) => x.originalMethod,
  "request.path": (x) => x.originalPath,
  "request.query": (x) => x.originalSearch.slice(1),
  "request.url": (x) => x.originalPath + x.originalSearch,
  "request.host": (x) => x.authority,
  "request.scheme": (x) => x.scheme,
  "client.ip": (x) => x.clientAddress,
  "consumer.name": (x) => x.consumer?.name,
  "consumer.tier": (x) => x.consumer?.tier,
  "consumer.credential": (x) => x.consumer?.credential,
  "consumer.roles": (x) => x.consumer?.roles.join(","),
  "route.name": (x) => x.route.name,
  "upstream.name": (x) => x.upstream || undefined,
  "response.status": (_x, reply) => reply && String(reply.status),
};

const PREFIXED: Record<string, (rest: string) => Variable> = {
  "request.header.": (name) => (x) => x.headers.getJoined(name.toLowerCase()),
  "request.query.": (name) => (x) => x.query.get(name) ?? undefined,
  "request.cookie.": (name) => (x) => readCookie(x.headers, name),
  "response.header.": (name) => (_x, reply) => reply?.headers.getJoined(name.toLowerCase()),
  "consumer.claim.": (name) => (x) => claimText(ownValue(x.consumer?.claims, name)),
  "env.": (name) => {
    const value = process.env[name];
    if (value === undefined) throw new ConfigError(`The environment variable ${name} is not set`);
    return () => value;
  },
};

/** A property that is the object's own: `constructor` and the like are names as any other. */
function ownValue<T>(values: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return values !== undefined && Object.hasOwn(values, name) ? values[name] : undefined;
}

function claimText(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  return typeof value === "string" ? value : JSON.stringify(value);
}

function compileVariable(name: string): Variable {
  if (Object.hasOwn(FIXED, name)) return FIXED[name]!;
  for (const [prefix, make] of Object.entries(PREFIXED)) {
    if (name.startsWith(prefix) && name.length > prefix.length) return make(name.slice(prefix.length));
  }
  if (/^([A-Za-z_]\w*|\*)$/.test(name)) return (x) => ownValue(x.params, name);
  const known = [...Object.keys(FIXED), ...Object.keys(PREFIXED).map((prefix) => `${prefix}NAME`)];
  throw new ConfigError(`The template variable {${name}} is not known; known are ${known.join(", ")}`);
}

function encoded(name: string, encode: (value: string) => string): Variable {
  const variable = compileVariable(name);
  if (encode === String) return variable;
  if (WIRE_FORM.has(name) && (encode === encodePath || encode === encodeHeader)) return variable;
  return (x, reply) => {
    const value = variable(x, reply);
    return value === undefined ? undefined : encode(value);
  };
}

/** Variables that are in wire form already; encoding them for a path or a header again would change them. */
const WIRE_FORM = new Set(["*", "request.path", "request.query", "request.url"]);

/**
 * Compiles a template.
 * @param encode applied to the value of each variable; {@link encodePath} and {@link encodeHeader} spare those in
 *   wire form
 * @throws ConfigError for an unknown variable or an unclosed brace
 */
export function compileTemplate(source: string, encode: (value: string) => string = String): Template {
  const parts: (string | Variable)[] = [];
  let literal = "";
  for (let i = 0; i < source.length; i++) {
    const c = source[i]!;
    if ((c === "{" || c === "}") && source[i + 1] === c) {
      literal += c;
      i++;
    } else if (c === "{") {
      const end = source.indexOf("}", i);
      if (end === -1) throw new ConfigError(`The template has a { that is not closed; write {{ for a brace`);
      if (literal !== "") parts.push(literal);
      literal = "";
      parts.push(encoded(source.slice(i + 1, end).trim(), encode));
      i = end;
    } else if (c === "}") {
      throw new ConfigError(`The template has a } that closes nothing; write }} for a brace`);
    } else {
      literal += c;
    }
  }
  if (literal !== "") parts.push(literal);
  const [first] = parts;
  if (parts.length === 0) return () => "";
  if (parts.length === 1) {
    if (typeof first === "string") return () => first;
    return first!;
  }
  return (x, reply) => {
    let text = "";
    for (const part of parts) text += typeof part === "string" ? part : (part(x, reply) ?? "");
    return text;
  };
}

/** Encodes a value for a path: it stays within its segment. */
export const encodePath = encodeURIComponent;

/** Encodes a value for a header: whatever is not printable ASCII is percent-encoded, so no value is ever refused. */
export function encodeHeader(value: string): string {
  return value.replace(/[^\t\x20-\x7e]/gu, (c) =>
    c.length === 1 && c >= "\ud800" && c <= "\udfff" ? "?" : encodeURIComponent(c),
  );
}
