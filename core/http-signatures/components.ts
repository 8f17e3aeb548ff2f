/** Parts of requests that signatures cover (RFC 9421 section 2). */
import { ConfigError } from "../errors.ts";
import { type HeaderList, isHeaderName, trimBlanks } from "../headers.ts";
import {
  type Item,
  isStructured,
  readItem,
  readMember,
  rewriteField,
  serializeItem,
} from "./structured-fields.ts";

/** A request as signatures see it. */
export interface SignedRequest {
  readonly method: string;
  readonly scheme: string;
  /** Host, and port if there is one. */
  readonly authority: string;
  /** In wire form. */
  readonly path: string;
  /** Query with its `?`, or empty. */
  readonly search: string;
  readonly headers: HeaderList;
}

const DERIVED: ReadonlyMap<string, (request: SignedRequest) => string> = new Map([
  ["@method", ({ method }) => method],
  ["@target-uri", (request) => `${request.scheme}://${authorityOf(request)}${targetOf(request)}`],
  ["@authority", authorityOf],
  ["@scheme", ({ scheme }) => scheme],
  ["@request-target", targetOf],
  ["@path", ({ path }) => path || "/"],
  ["@query", ({ search }) => search || "?"],
]);

const VALUE = /^[\t\x20-\x7e]*$/;

/**
 * What a request has for a component: undefined when it lacks it, when nobody can tell what is meant, or when the
 * component is not known.
 */
export function readComponent([name, parameters]: Item, request: SignedRequest): string | undefined {
  if (typeof name !== "string") return undefined;
  let value: string | undefined;
  if (name === "@query-param") {
    if (parameters.size === 1) value = readQueryParameter(parameters.get("name"), request.search);
  } else if (name.startsWith("@")) {
    if (parameters.size === 0) value = DERIVED.get(name)?.(request);
  } else value = readField(name, parameters, request.headers);
  return value !== undefined && VALUE.test(value) ? value : undefined;
}

function authorityOf({ authority, scheme }: SignedRequest): string {
  return authority.toLowerCase().replace(scheme === "https" ? /:443$/ : /:80$/, "");
}

function targetOf({ path, search }: SignedRequest): string {
  return (path || "/") + search;
}

/** @param name encoded, as its value is (section 2.2.8) */
function readQueryParameter(name: unknown, search: string): string | undefined {
  const found = [...new URLSearchParams(search)].filter(([key]) => encode(key) === name);
  return found.length === 1 ? encode(found[0]![1]) : undefined;
}

/** The percent-encode set of application/x-www-form-urlencoded, but for blanks. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()~]/g, hexOf);
}

function hexOf(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
}

function readField(name: string, parameters: Item[1], headers: HeaderList): string | undefined {
  if (name !== name.toLowerCase()) return undefined;
  const lines = headers.getAll(name).map(trimBlanks);
  if (lines.length === 0) return undefined;
  const field = lines.join(", ");
  const key = parameters.get("key");
  switch ([...parameters.keys()].sort().join()) {
    case "":
      return field;
    case "bs":
      return lines.map((line) => `:${Buffer.from(line, "latin1").toString("base64")}:`).join(", ");
    case "sf":
      return rewriteField(name, field);
    case "key":
    case "key,sf":
      return typeof key === "string" ? readMember(field, key) : undefined;
    default:
      return undefined; // `tr` and `req` among them: trailers come too late, and there is no other request
  }
}

/** A component of a configuration: a name, and parameters as signatures have them, such as `@query-param;name="id"`. */
export interface NamedComponent {
  readonly name: string;
  readonly item: Item;
  /** As it is written in signatures. */
  readonly text: string;
}

/** @throws ConfigError at `pointer` */
export function parseComponent(option: string, pointer: string): NamedComponent {
  const [, name = "", parameters = ""] = /^([^;]*)(.*)$/s.exec(option)!;
  const item = readItem(`"${name}"${parameters}`);
  if (item === undefined || !isKnown(name, item[1])) {
    throw new ConfigError(`Signatures cannot cover "${option}"`, pointer, "CONFIG_VALUE");
  }
  return { name, item, text: serializeItem(item) };
}

function isKnown(name: string, parameters: Item[1]): boolean {
  const keys = [...parameters.keys()].sort().join();
  if (name === "@query-param") return keys === "name" && typeof parameters.get("name") === "string";
  if (name.startsWith("@")) return keys === "" && DERIVED.has(name);
  if (!isHeaderName(name) || name !== name.toLowerCase()) return false;
  if (keys === "sf") return isStructured(name);
  return ["", "bs"].includes(keys) || (keys === "key" && typeof parameters.get("key") === "string");
}
