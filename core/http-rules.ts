/**
 * What a request must look like to be let in: the rules of RFC 9112 and RFC 9110 that Node's parser leaves to
 * its caller. Whatever could mean one thing to the gateway and another to an upstream is refused.
 */
import { isIPv6 } from "node:net";
import { GatewayError } from "./errors.ts";
import { isHopByHop, isSameName, listMembers, withDashes } from "./headers.ts";
import { isIdentityHeader } from "./identity-headers.ts";
import { hasDotSegments } from "./path.ts";

/** A request head as Node parsed it. */
export interface RequestHead {
  method: string;
  /** Request target, any form. */
  target: string;
  /** Such as `1.1`. */
  version: string;
  /** Scheme of the connection. */
  scheme: "http" | "https";
  /** A Host that was found valid before, on the same connection. */
  knownHost?: string | undefined;
  /** Flat `[name, value, …]`; fields that are the connection's own are removed. */
  raw: string[];
}

export interface HeadLimits {
  maxHeaderBytes: number;
  maxHeaders: number;
}

/** Fields by which proxies tell of the client; believed only when a trusted proxy sends them. */
const FORWARDED = new Set([
  "client-cert",
  "client-cert-chain",
  "forwarded",
  "x-forwarded-client-cert",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-real-ip",
]);

/** What the head says, once it is found to be in order. */
export interface HeadFacts {
  /** Host and optional port. */
  authority: string;
  /** Target in origin form, or `*`. */
  target: string;
  /** Bytes of the body; undefined when chunked; 0 for no body. */
  bodyLength: number | undefined;
  /** The client waits for `100 Continue`. */
  expectsContinue: boolean;
}

const HOST = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[([0-9A-Fa-f:.]+)\])(?::(\d{1,5}))?$/;
/** Never valid in a target, and read differently by different servers: controls, space, `\`, `#`, and NUL escaped. */
const BAD_TARGET = /[\x00-\x20\x7f\\#]|%00/;
const CODINGS = new Set(["gzip", "x-gzip", "deflate", "compress", "x-compress", "chunked"]);
/** Fields that a Connection header may not take away: they frame or route the message. */
const PROTECTED = new Set(["host", "content-length", "transfer-encoding"]);

/** True for a valid Host value: a name or address and an optional port (RFC 9110 section 7.2). */
export function isValidHost(host: string): boolean {
  const match = HOST.exec(host);
  if (match === null) return false;
  const [, v6, port] = match;
  return (v6 === undefined || isIPv6(v6)) && (port === undefined || Number(port) <= 65535);
}

/**
 * Checks a head.
 * @param isTrusted whether the other end is a trusted proxy, whose X-Forwarded-* and Forwarded are kept
 * @throws GatewayError 400, 417, 431, 501 or 505 with what is wrong
 */
export function inspectHead(head: RequestHead, limits: HeadLimits, isTrusted: boolean): HeadFacts {
  const { raw, version } = head;
  if (version !== "1.1" && version !== "1.0") throw new GatewayError("VERSION_UNSUPPORTED");
  if (raw.length > limits.maxHeaders * 2) {
    throw new GatewayError("HEADERS_TOO_LARGE", { detail: `More than ${limits.maxHeaders} header lines` });
  }
  let host: string | undefined;
  let bodyLength: number | undefined = 0;
  let transferEncoding: string | undefined;
  let expectation: string | undefined;
  let connection: string | undefined;
  let hasClaims = false;
  let bytes = head.target.length;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    bytes += name.length + value.length + 4;
    switch (name.length) {
      case 4:
        if (!isSameName(name, "host")) break;
        if (host !== undefined)
          throw new GatewayError("HOST_INVALID", { detail: "Host is given more than once" });
        host = value;
        break;
      case 6:
        if (isSameName(name, "expect")) expectation = value;
        break;
      case 10:
        if (isSameName(name, "connection"))
          connection = connection === undefined ? value : `${connection},${value}`;
        break;
      case 14:
        if (isSameName(name, "content-length")) bodyLength = Number(value);
        break;
      case 9:
      case 11:
      case 15:
      case 16:
      case 23:
        if (!hasClaims) hasClaims = isClaim(name);
        break;
      case 17:
        if (!hasClaims) hasClaims = isClaim(name);
        if (!isSameName(name, "transfer-encoding")) break;
        transferEncoding = transferEncoding === undefined ? value : `${transferEncoding},${value}`;
        break;
    }
  }
  if (bytes > limits.maxHeaderBytes) throw new GatewayError("HEADERS_TOO_LARGE");
  if (transferEncoding !== undefined) {
    checkTransferEncoding(transferEncoding, version);
    bodyLength = undefined;
  }
  const facts: HeadFacts = { authority: host ?? "", target: head.target, bodyLength, expectsContinue: false };
  if (host === undefined && version === "1.1") {
    throw new GatewayError("HOST_INVALID", { detail: "Host is missing" });
  }
  if (host !== undefined && host !== head.knownHost && !isValidHost(host))
    throw new GatewayError("HOST_INVALID");
  if (head.target.charCodeAt(0) !== 47) resolveTarget(head, facts, isTrusted);
  if (BAD_TARGET.test(facts.target) || hasDotSegments(pathOf(facts.target))) {
    throw new GatewayError("REQUEST_TARGET_INVALID");
  }
  if (expectation !== undefined) {
    if (expectation.toLowerCase() !== "100-continue") throw new GatewayError("EXPECTATION_FAILED");
    facts.expectsContinue = version === "1.1" && bodyLength !== 0;
  }
  const nominates = connection !== undefined && !/^(keep-alive|close)$/i.test(connection);
  if (nominates || hasClaims) removeFields(raw, nominates ? listMembers(connection!) : [], isTrusted);
  return facts;
}

function isClaim(name: string): boolean {
  const first = name.charCodeAt(0) | 32;
  if (first !== 120 && first !== 102 && first !== 99) return false; // x, f, c
  const lower = name.toLowerCase();
  return isIdentityHeader(lower) || FORWARDED.has(withDashes(lower));
}

function pathOf(target: string): string {
  const mark = target.indexOf("?");
  return mark === -1 ? target : target.slice(0, mark);
}

/** RFC 9112 section 6.1: `chunked` once and alone; other codings are known but not undone here. */
function checkTransferEncoding(value: string, version: string): void {
  if (version === "1.0") {
    throw new GatewayError("TRANSFER_ENCODING_INVALID", { detail: "HTTP/1.0 has no Transfer-Encoding" });
  }
  if (value.toLowerCase() === "chunked") return;
  const codings = value.split(",").map((coding) => coding.trim().toLowerCase());
  const isKnown = codings.every((coding) => CODINGS.has(coding));
  if (isKnown && codings.indexOf("chunked") === codings.length - 1) {
    throw new GatewayError("TRANSFER_ENCODING_UNSUPPORTED");
  }
  throw new GatewayError("TRANSFER_ENCODING_INVALID");
}

/** Targets that are not in origin form (RFC 9112 section 3.2): `*` for OPTIONS, and absolute ones. */
function resolveTarget(head: RequestHead, facts: HeadFacts, isTrusted: boolean): void {
  const { target } = head;
  if (target === "*") {
    if (head.method !== "OPTIONS") throw new GatewayError("REQUEST_TARGET_INVALID");
    return;
  }
  const match = /^(https?):\/\/([^/?#]*)(.*)$/is.exec(target);
  if (match === null) throw new GatewayError("REQUEST_TARGET_INVALID");
  const [, scheme = "", authority = "", rest = ""] = match;
  // What is meant for a secured connection must not come over another (RFC 9110 section 7.4); a trusted
  // proxy may have ended the secured one.
  const isMisdirected = scheme.toLowerCase() !== head.scheme && !isTrusted;
  if (isMisdirected || !isValidHost(authority)) throw new GatewayError("REQUEST_TARGET_INVALID");
  // The target's authority counts, whatever Host says, and Host is made to agree (RFC 9112 section 3.2.2).
  facts.authority = authority;
  const at = head.raw.findIndex((name, i) => i % 2 === 0 && isSameName(name, "host"));
  if (at === -1) head.raw.push("host", authority);
  else head.raw[at + 1] = authority;
  facts.target = rest.startsWith("/") ? rest : `/${rest}`;
}

/**
 * Removes what concerns the client's connection only, so that nothing a stage adds later can be taken away by
 * the client's Connection header, and what the client may not say about itself.
 */
function removeFields(raw: string[], nominated: string[], isTrusted: boolean): void {
  for (const name of nominated) {
    if (PROTECTED.has(name)) {
      throw new GatewayError("REQUEST_INVALID", { detail: `Connection may not name ${name}` });
    }
  }
  let to = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const lower = name.toLowerCase();
    if (nominated.includes(lower) && !isHopByHop(lower)) continue;
    const claim = withDashes(lower);
    if (isIdentityHeader(lower) || (FORWARDED.has(claim) && (!isTrusted || claim !== lower))) continue;
    raw[to++] = name;
    raw[to++] = raw[i + 1]!;
  }
  raw.length = to;
}
