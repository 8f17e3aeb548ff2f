/**
 * Header lists: the flat `[name, value, name, value, …]` array that sockets give and take, with names looked
 * up without regard to case (RFC 9110 section 5.1) and bytes kept as they came.
 */
import { GatewayError } from "./errors.ts";

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** True for a valid field name: a token (RFC 9110 section 5.1). */
export function isHeaderName(name: string): boolean {
  return TOKEN.test(name);
}

/** True for a valid field value: no control characters but tab, one byte a character (RFC 9110 section 5.5). */
export function isHeaderValue(value: string): boolean {
  return VALUE.test(value);
}

/** A field value without the blanks around it. A pattern for those at the end takes ages over many in the middle. */
export function trimBlanks(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

/** Space, tab, CR or LF. */
function isBlank(code: number): boolean {
  return code === 32 || code === 9 || code === 13 || code === 10;
}

/** Many a server cannot tell `X_A` or `X.A` from `X-A`: all become HTTP_X_A (RFC 3875 section 4.1.18). */
export function withDashes(name: string): string {
  return NOT_PLAIN.test(name) ? name.replaceAll(NOT_PLAIN_ALL, "-") : name;
}

const NOT_PLAIN = /[^a-z\d-]/i;
const NOT_PLAIN_ALL = /[^a-z\d-]/gi;

/**
 * Compares a header name as it came with a lower-case one.
 * @param name a name in any case
 * @param lower a name in lower case
 */
export function isSameName(name: string, lower: string): boolean {
  // Most names of the same length differ in their first letter, whatever its case.
  if (name.length !== lower.length || (name.charCodeAt(0) | 32) !== lower.charCodeAt(0)) return false;
  return name === lower || name.toLowerCase() === lower;
}

function assertField(name: string, value: string): void {
  if (!TOKEN.test(name)) throw new GatewayError("HEADER_INVALID", { detail: "A header name is not a token" });
  if (!VALUE.test(value)) {
    throw new GatewayError("HEADER_INVALID", {
      detail: `The value of header ${name} has control or non-Latin-1 characters`,
    });
  }
}

/**
 * The headers of a request or a reply, in order. Names passed to the methods must be lower case; names that
 * came from a peer keep their case.
 */
export class HeaderList {
  /** Flat `[name, value, …]`. Owned by this list. */
  readonly raw: string[];

  constructor(raw: string[] = []) {
    this.raw = raw;
  }

  /** The first value of `name`, or undefined. */
  get(name: string): string | undefined {
    const raw = this.raw;
    for (let i = 0; i < raw.length; i += 2) if (isSameName(raw[i]!, name)) return raw[i + 1];
    return undefined;
  }

  /** All values of `name`, one per field line. */
  getAll(name: string): string[] {
    const raw = this.raw;
    const values: string[] = [];
    for (let i = 0; i < raw.length; i += 2) if (isSameName(raw[i]!, name)) values.push(raw[i + 1]!);
    return values;
  }

  /** All values of a list-valued field joined by ", " (RFC 9110 section 5.3), or undefined when absent. */
  getJoined(name: string): string | undefined {
    const values = this.getAll(name);
    return values.length === 0 ? undefined : values.join(", ");
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /**
   * Replaces all lines of `name` by one, in the place of the first.
   * @throws GatewayError HEADER_INVALID
   */
  set(name: string, value: string): void {
    assertField(name, value);
    this.setChecked(name, value);
  }

  /** As {@link set}, for a name and a value that are known to be valid. */
  setChecked(name: string, value: string): void {
    const raw = this.raw;
    for (let i = 0; i < raw.length; i += 2) {
      if (!isSameName(raw[i]!, name)) continue;
      raw[i + 1] = value;
      this.#deleteFrom(i + 2, name);
      return;
    }
    raw.push(name, value);
  }

  /**
   * Adds a line, keeping those that exist.
   * @throws GatewayError HEADER_INVALID
   */
  append(name: string, value: string): void {
    assertField(name, value);
    this.raw.push(name, value);
  }

  /** Removes all lines of `name`; true when there was one. */
  delete(name: string): boolean {
    return this.#deleteFrom(0, name);
  }

  /** Gives all lines of `from` the name `to`, in place. Lines already named `to` are removed. */
  rename(from: string, to: string): void {
    if (from === to || !this.has(from)) return;
    this.delete(to);
    const raw = this.raw;
    for (let i = 0; i < raw.length; i += 2) if (isSameName(raw[i]!, from)) raw[i] = to;
  }

  /** Adds `member` to a comma-separated field such as Vary unless it is there already (any case) or is `*`. */
  addMember(name: string, member: string): void {
    const present = this.getJoined(name) ?? "";
    const members = listMembers(present);
    if (members.length === 0) this.set(name, member);
    else if (!members.includes(member.toLowerCase()) && !members.includes("*"))
      this.set(name, `${present}, ${member}`);
  }

  clone(): HeaderList {
    return new HeaderList(this.raw.slice());
  }

  #deleteFrom(start: number, name: string): boolean {
    const raw = this.raw;
    let to = start;
    for (let i = start; i < raw.length; i += 2) {
      if (isSameName(raw[i]!, name)) continue;
      if (to !== i) {
        raw[to] = raw[i]!;
        raw[to + 1] = raw[i + 1]!;
      }
      to += 2;
    }
    if (to === raw.length) return false;
    raw.length = to;
    return true;
  }
}

/** True for fields that concern one connection only and are never forwarded (RFC 9110 section 7.6.1). */
export function isHopByHop(name: string): boolean {
  switch (name.length) {
    case 2:
      return isSameName(name, "te");
    case 7:
      return isSameName(name, "upgrade") || isSameName(name, "trailer");
    case 10:
      return isSameName(name, "connection") || isSameName(name, "keep-alive");
    case 16:
      return isSameName(name, "proxy-connection");
    case 17:
      return isSameName(name, "transfer-encoding");
    case 18:
      return isSameName(name, "proxy-authenticate");
    case 19:
      return isSameName(name, "proxy-authorization");
    default:
      return false;
  }
}

/**
 * True for fields that the server and the upstream client write themselves because they frame the message.
 * No stage may set, rename or remove them.
 * @param name in lower case
 */
export function isFraming(name: string): boolean {
  return FRAMING.has(name);
}

const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Splits a comma-separated field value into trimmed, lower-case members. */
export function listMembers(value: string): string[] {
  return value
    .split(",")
    .map((member) => member.trim().toLowerCase())
    .filter((member) => member !== "");
}
