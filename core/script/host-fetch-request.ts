/** What a script asks of `fetch`, checked before anything is sent. */
import { isFraming, isHeaderName, isHeaderValue, trimBlanks } from "../headers.ts";
import { isIdentityHeader } from "../identity-headers.ts";
import { bytesOf } from "./host-data.ts";
import { isSecret, secretText } from "./host-secrets.ts";
import type { HookRun } from "./hook-run.ts";

export interface FetchRequest {
  readonly url: URL;
  readonly method: string;
  /** Names in lower case. Values of secrets are in it. */
  readonly headers: Record<string, string>;
  readonly body: Buffer | undefined;
  /** Milliseconds that the script gives it, if it says so. */
  readonly timeoutMs: number | undefined;
}

const MOST_BODY_BYTES = 1024 ** 2;
const MOST_URL_CHARS = 16 * 1024;
const MOST_HEADERS = 64;
const MOST_HEADER_CHARS = 16 * 1024;
/** Room for the largest body as JSON, and what goes with it. */
const MOST_CHARS = 6 * MOST_BODY_BYTES + 256 * 1024;
const FORBIDDEN_METHODS: readonly string[] = ["CONNECT", "TRACE", "TRACK"];

/**
 * @param argument JSON `{ url, method, headers: [name, value][], body?, timeoutMs? }`; a value that is a secret is
 * `[name, prefix]`
 * @throws Error that says what is wrong, without any value
 */
export function parseFetch(run: HookRun, argument: string): FetchRequest {
  if (argument.length > MOST_CHARS) throw refused(`a body can have ${MOST_BODY_BYTES} bytes`);
  const { url, method, headers, body, timeoutMs } = JSON.parse(argument) as Record<string, unknown>;
  const verb = parseMethod(String(method));
  return {
    url: parseTarget(String(url)),
    method: verb,
    headers: parseHeaders(run, headers),
    body: body === undefined ? undefined : parseBody(verb, body),
    timeoutMs: parseTimeout(timeoutMs),
  };
}

export function refused(why: string): Error {
  return new Error(`fetch failed: ${why}`);
}

function parseTarget(text: string): URL {
  if (text.length > MOST_URL_CHARS) throw refused(`a URL can have ${MOST_URL_CHARS} characters`);
  const url = URL.parse(text);
  if (url === null)
    throw refused("the URL is not valid; it must be whole, such as https://api.example.com/a");
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw refused("a URL begins with https: or http:");
  if (url.username !== "" || url.password !== "") {
    throw refused("a URL cannot have a user name or a password; send them in an authorization header");
  }
  return url;
}

function parseMethod(text: string): string {
  const method = text.toUpperCase();
  if (!isHeaderName(method) || method.length > 50) throw refused("the method is not valid");
  if (FORBIDDEN_METHODS.includes(method)) throw refused(`the method ${method} cannot be used`);
  return method;
}

function parseHeaders(run: HookRun, given: unknown): Record<string, string> {
  const list = Array.isArray(given) ? (given as unknown[]) : [];
  if (list.length > MOST_HEADERS) throw refused(`a request can have ${MOST_HEADERS} headers`);
  const headers: Record<string, string> = { __proto__: null as never, "user-agent": "sluice" };
  let chars = 0;
  for (const pair of list) {
    const [field, given] = pair as [unknown, unknown];
    const name = String(field).toLowerCase();
    if (!isHeaderName(name)) throw refused(`${JSON.stringify(name.slice(0, 100))} is not a header name`);
    if (isFraming(name) || name === "host" || isIdentityHeader(name))
      throw refused(`the header ${name} belongs to the gateway`);
    const text = isSecret(given) ? secretText(run, given) : String(given);
    const value = trimBlanks(text);
    if (!isHeaderValue(value)) {
      throw refused(`the value of header ${name} has control or non-Latin-1 characters`);
    }
    chars += name.length + value.length;
    headers[name] = value;
  }
  if (chars > MOST_HEADER_CHARS) throw refused(`headers can have ${MOST_HEADER_CHARS} characters together`);
  return headers;
}

function parseBody(method: string, data: unknown): Buffer {
  if (method === "GET" || method === "HEAD") throw refused(`a ${method} request has no body`);
  const bytes = bytesOf(data);
  if (bytes.length > MOST_BODY_BYTES) throw refused(`a body can have ${MOST_BODY_BYTES} bytes`);
  return bytes;
}

function parseTimeout(given: unknown): number | undefined {
  if (given === undefined) return undefined;
  if (typeof given !== "number" || !(given >= 1)) {
    throw refused("timeoutMs is a number of milliseconds, at least 1");
  }
  return given;
}
