/**
 * What a hook gave back, made true. It is input: whatever the guest runtime has checked is checked again here, for a
 * script may have changed what it runs on. Lines of edits, each a letter and its text:
 * `s`, `a` `name:value` set and append a header, `d` name deletes it, `u` url, `c` status, `R` status begins a reply of
 * its own, `S` JSON is the script's state. `b` is a body: a kind (`t` text, `j` JSON, `x` bytes, a character each), its
 * length in characters, `:`, and the body.
 */
import { BytesBody } from "../body.ts";
import { GatewayError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { HeaderList, isFraming, isHeaderName, isHeaderValue } from "../headers.ts";
import { isIdentityHeader } from "../identity-headers.ts";
import { hasDotSegments } from "../path.ts";
import { Reply } from "../reply.ts";

/** Lines of edits, and what they may come to beside bodies: each costs time that no limit of the script counts. */
const MAX_LINES = 1000;
const MAX_LINE_CHARS = 256 * 1024;
const MAX_STATE_CHARS = 64 * 1024;
const MAX_URL_CHARS = 16 * 1024;
const MAX_KEPT_CHARS = 4096;
const URL = /^\/[!"$-~]*$/;
const BODY_TYPES: Readonly<Record<string, string>> = {
  t: "text/plain; charset=utf-8",
  j: "application/json",
  x: "application/octet-stream",
};

/** Lines of edits that were checked. */
export interface Edits {
  /** Flat: letter, name, value; the name is empty where a line has none. */
  readonly steps: readonly string[];
  readonly body: { readonly type: string; readonly bytes: Buffer } | undefined;
  /** Status of a reply of its own. */
  readonly reply: number | undefined;
  readonly state: string | undefined;
}

function refuse(what: string): never {
  throw new GatewayError("SCRIPT_OUTPUT", { cause: new Error(what) });
}

/**
 * @param text what the hook gave
 * @throws GatewayError SCRIPT_OUTPUT
 */
export function parseEdits(text: string): Edits {
  const steps: string[] = [];
  let body: Edits["body"];
  let reply: number | undefined;
  let state: string | undefined;
  let at = 0;
  let lines = 0;
  let chars = 0;
  while (at < text.length) {
    if (text[at] === "b") {
      if (body !== undefined) refuse("it gave more than one body");
      const [type, length, start] = parseBodyHead(text, at + 1);
      const value = text.slice(start, start + length);
      at = start + length + 1;
      if (text[at - 1] !== "\n") refuse("a body is cut off");
      body = { type: BODY_TYPES[type]!, bytes: Buffer.from(value, type === "x" ? "latin1" : "utf8") };
      continue;
    }
    const end = text.indexOf("\n", at);
    if (end === -1) refuse("its edits are cut off");
    const rest = text.slice(at + 1, end);
    const letter = text[at]!;
    at = end + 1;
    if (++lines > MAX_LINES) refuse(`it gave more than ${MAX_LINES} edits`);
    chars += rest.length;
    if (chars > MAX_LINE_CHARS) refuse(`its edits come to more than ${MAX_LINE_CHARS} characters`);
    switch (letter) {
      case "s":
      case "a": {
        const colon = rest.indexOf(":");
        if (colon === -1) refuse("a header has no value");
        const name = rest.slice(0, colon);
        const value = rest.slice(colon + 1);
        checkName(name);
        if (!isHeaderValue(value)) refuse(`the value of header ${name} is not valid`);
        steps.push(letter, name, value);
        break;
      }
      case "d":
        checkName(rest);
        steps.push(letter, rest, "");
        break;
      case "u":
        checkUrl(rest);
        steps.push(letter, "", rest);
        break;
      case "c":
        steps.push(letter, "", String(parseStatus(rest)));
        break;
      case "R":
        reply = parseStatus(rest);
        break;
      case "S":
        if (rest.length > MAX_STATE_CHARS) refuse(`its state is larger than ${MAX_STATE_CHARS} characters`);
        state = parseState(rest);
        break;
      default:
        refuse("it gave an edit that does not exist");
    }
  }
  return { steps, body, reply, state };
}

/** Hooks often give the same edits again and again: those that are as the ones before are not read anew. */
export class EditReader {
  #text = "";
  #edits: Edits | undefined;

  /** As {@link parseEdits}. */
  read(text: string): Edits {
    if (this.#edits !== undefined && text === this.#text) return this.#edits;
    const edits = parseEdits(text);
    // A body may be changed by whoever has it, and what is large is seldom the same.
    if (edits.body === undefined && text.length <= MAX_KEPT_CHARS) {
      this.#text = text;
      this.#edits = edits;
    }
    return edits;
  }
}

function checkName(name: string): void {
  if (!isHeaderName(name) || name !== name.toLowerCase()) refuse("a header name is not valid");
  if (isFraming(name) || name === "host" || isIdentityHeader(name))
    refuse(`the header ${name} belongs to the gateway`);
}

function checkUrl(url: string): void {
  const [path] = url.split("?", 1) as [string];
  if (url.length > MAX_URL_CHARS || !URL.test(url) || hasDotSegments(path) || path.includes("%00"))
    refuse("the url is not valid");
}

function parseStatus(text: string): number {
  return /^[2-5]\d\d$/.test(text) ? Number(text) : refuse("a status is not from 200 to 599");
}

/** `t12:` */
function parseBodyHead(text: string, at: number): [type: string, chars: number, start: number] {
  const colon = text.indexOf(":", at);
  const type = text[at]!;
  const digits = text.slice(at + 1, colon);
  if (colon === -1 || !Object.hasOwn(BODY_TYPES, type) || !/^\d{1,9}$/.test(digits))
    refuse("a body is not valid");
  return [type, Number(digits), colon + 1];
}

function parseState(text: string): string {
  const state = fromJson(text);
  return typeof state === "object" && state !== null ? text : refuse("its state is not an object");
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return refuse("it gave JSON that is not valid");
  }
}

/** Makes edits of a request true. Gives the reply, if the script answered itself. */
export function applyToRequest(x: Exchange, edits: Edits, script: string): Reply | undefined {
  keepState(x, edits, script);
  if (edits.reply !== undefined) return createReply(edits.reply, edits);
  const { steps } = edits;
  for (let i = 0; i < steps.length; i += 3) {
    if (steps[i] === "u") setUrl(x, steps[i + 2]!);
    else if (steps[i] === "c") refuse("a request has no status");
    else editHeader(x.headers, steps[i]!, steps[i + 1]!, steps[i + 2]!);
  }
  if (edits.body !== undefined) x.setBody(edits.body.bytes);
  return undefined;
}

/** Makes edits of a reply true. */
export function applyToReply(x: Exchange, reply: Reply, edits: Edits, script: string): void {
  keepState(x, edits, script);
  const { steps } = edits;
  if (edits.reply !== undefined) refuse("a response hook cannot answer anew");
  for (let i = 0; i < steps.length; i += 3) {
    if (steps[i] === "u") refuse("a response has no url");
    else if (steps[i] === "c") {
      reply.status = Number(steps[i + 2]);
      reply.reason = undefined;
    } else editHeader(reply.headers, steps[i]!, steps[i + 1]!, steps[i + 2]!);
  }
  if (edits.body !== undefined) reply.setBody(edits.body.bytes);
}

function keepState(x: Exchange, { state }: Edits, script: string): void {
  if (state === undefined) return;
  x.scriptStates ??= new Map();
  x.scriptStates.set(script, state);
}

function editHeader(headers: HeaderList, letter: string, name: string, value: string): void {
  if (letter === "s") headers.setChecked(name, value);
  else if (letter === "a") headers.raw.push(name, value);
  else headers.delete(name);
}

function setUrl(x: Exchange, url: string): void {
  const mark = url.indexOf("?");
  x.path = mark === -1 ? url : url.slice(0, mark);
  x.search = mark === -1 ? "" : url.slice(mark);
}

function createReply(status: number, { steps, body }: Edits): Reply {
  const headers = new HeaderList();
  for (let i = 0; i < steps.length; i += 3) {
    if (steps[i] !== "a" && steps[i] !== "s") refuse("a reply cannot be made so");
    editHeader(headers, steps[i]!, steps[i + 1]!, steps[i + 2]!);
  }
  const isBodiless = status === 204 || status === 205 || status === 304;
  if (isBodiless || body === undefined) return new Reply(status, headers);
  if (body.bytes.length > 0 && !headers.has("content-type")) headers.append("content-type", body.type);
  headers.append("content-length", String(body.bytes.length));
  return new Reply(status, headers, new BytesBody(body.bytes));
}
