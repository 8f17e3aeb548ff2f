/**
 * RFC 9111, 5861 and 9110 read slowly and to the letter, for comparison with what the cache does. It reads no text:
 * what requests and replies say is given as it is meant, and written out by {@link writeReply} and {@link writeRequest}.
 * All times are whole seconds; those of a reply count from when it came.
 */

export interface Said {
  readonly name: string;
  /** A number of seconds, names of fields, or undefined for none. */
  readonly argument?: number | "invalid" | readonly string[] | undefined;
}

export interface LiteralReply {
  readonly status: number;
  readonly directives: readonly Said[];
  /** The directives of CDN-Cache-Control. */
  readonly targeted: readonly Said[] | undefined;
  readonly expires: number | "invalid" | undefined;
  readonly date: number | "invalid" | undefined;
  readonly age: number | "invalid" | undefined;
  readonly lastModified: number | undefined;
  readonly etag: boolean;
  readonly setsCookie: boolean;
  readonly vary: readonly string[];
  /** Seconds from the request to the reply. */
  readonly delay: number;
}

export interface LiteralRequest {
  readonly authorization: boolean;
  readonly directives: readonly Said[];
  /** Fields that replies may vary by. */
  readonly fields: Readonly<Record<string, string>>;
}

export type Verdict = "not stored" | "use" | "use, and validate behind" | "validate" | "not for this request";

const find = (said: readonly Said[], name: string): Said | undefined =>
  said.find((each) => each.name === name);
const has = (said: readonly Said[], name: string): boolean => find(said, name) !== undefined;
/** A directive without names of fields: it is about the whole. */
const isWhole = (said: readonly Said[], name: string): boolean =>
  said.some((each) => each.name === name && !Array.isArray(each.argument));

/** Section 4.2.1: "either the first occurrence should be used or the response should be considered stale". */
function seconds(said: readonly Said[], name: string): number | undefined {
  const first = find(said, name);
  if (first === undefined) return undefined;
  // "Caches are encouraged to consider responses that have invalid freshness information … to be stale."
  return typeof first.argument === "number" ? first.argument : 0;
}

/** RFC 9213 section 2.2: the targeted field is used, and Cache-Control and Expires are ignored. */
const directivesOf = (reply: LiteralReply): readonly Said[] => reply.targeted ?? reply.directives;
const expiresOf = (reply: LiteralReply): LiteralReply["expires"] =>
  reply.targeted === undefined ? reply.expires : undefined;

/** RFC 9110 section 15.1. */
const HEURISTICALLY_CACHEABLE = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];
/** RFC 9110 section 15, as far as the tests use them. */
const KNOWN_STATUSES = [200, 201, 203, 204, 301, 302, 307, 404, 500, 503];

/** Section 3: "A cache MUST NOT store a response to a request unless" all of these. */
function mayStore(request: LiteralRequest, reply: LiteralReply): boolean {
  const said = directivesOf(reply);
  const understands = KNOWN_STATUSES.includes(reply.status);
  // "the response status code is final"
  if (reply.status < 200) return false;
  // "if the response status code is 206 or 304, or the must-understand cache directive is present: the cache
  // understands the response status code"
  if (has(said, "must-understand") && !understands) return false;
  // "the no-store cache directive is not present in the response"; 5.2.2.3: must-understand has it ignored
  if (has(said, "no-store") && !has(said, "must-understand")) return false;
  // 5.2.1.5: "a cache MUST NOT store any part of either this request or any response to it"
  if (has(request.directives, "no-store")) return false;
  // "the private response directive is either not present or allows a shared cache to store a modified response"
  if (isWhole(said, "private")) return false;
  // "the Authorization header field is not present in the request or a response directive is present that explicitly
  // allows shared caching": 3.5 names must-revalidate, public and s-maxage
  const isAllowed = ["must-revalidate", "public", "s-maxage"].some((name) => has(said, name));
  if (request.authorization && !isAllowed) return false;
  // "the response contains at least one of the following"
  return (
    has(said, "public") ||
    expiresOf(reply) !== undefined ||
    has(said, "max-age") ||
    has(said, "s-maxage") ||
    HEURISTICALLY_CACHEABLE.includes(reply.status)
  );
}

function dateValue(reply: LiteralReply): number {
  // RFC 9110 section 6.6.1: without a Date, it is the time at which it was received.
  return typeof reply.date === "number" ? reply.date : 0;
}

/** Section 4.2.1. */
function freshnessLifetime(reply: LiteralReply): number {
  const said = directivesOf(reply);
  const sMaxAge = seconds(said, "s-maxage");
  if (sMaxAge !== undefined) return sMaxAge;
  const maxAge = seconds(said, "max-age");
  if (maxAge !== undefined) return maxAge;
  const expires = expiresOf(reply);
  // 5.3: "A cache recipient MUST interpret invalid date formats … as representing a time in the past"
  if (expires === "invalid") return 0;
  if (expires !== undefined) return Math.max(0, expires - dateValue(reply));
  return heuristicLifetime(reply);
}

/** Section 4.2.2: "a typical setting of this fraction might be 10%". */
function heuristicLifetime(reply: LiteralReply): number {
  const isAllowed = HEURISTICALLY_CACHEABLE.includes(reply.status) || has(directivesOf(reply), "public");
  if (!isAllowed || reply.lastModified === undefined) return 0;
  return Math.min(24 * 3600, Math.max(0, (dateValue(reply) - reply.lastModified) / 10));
}

/** Section 4.2.3. */
function correctedInitialAge(reply: LiteralReply): number {
  const ageValue = typeof reply.age === "number" ? reply.age : 0;
  const apparentAge = Math.max(0, 0 - dateValue(reply));
  const correctedAgeValue = ageValue + reply.delay;
  return Math.max(apparentAge, correctedAgeValue);
}

/** What this cache refuses beyond what it must: said in docs/plugins/cache.md. */
function isRefused(reply: LiteralReply): boolean {
  const said = directivesOf(reply);
  const isExplicit = has(said, "s-maxage") || has(said, "max-age") || expiresOf(reply) !== undefined;
  if (reply.setsCookie && !isExplicit) return true;
  if (reply.etag || reply.lastModified !== undefined) return false;
  // It could neither be validated nor be used.
  const usable = lifetime(reply) + Math.max(staleWhileRevalidate(reply), staleIfError(reply));
  return isWhole(said, "no-cache") || correctedInitialAge(reply) >= usable;
}

/** An Age that cannot be read makes it stale here, where section 5.1 would have Age ignored. */
const lifetime = (reply: LiteralReply): number => (reply.age === "invalid" ? 0 : freshnessLifetime(reply));

/** Section 4.2.4: "MUST NOT generate a stale response if it is prohibited by an explicit in-protocol directive". */
function isStaleForbidden(reply: LiteralReply): boolean {
  const said = directivesOf(reply);
  return isWhole(said, "no-cache") || has(said, "must-revalidate") || has(said, "proxy-revalidate");
}

/** RFC 5861 section 3. Said together with s-maxage, whose meaning has "proxy-revalidate" in it, it is what was meant. */
function staleWhileRevalidate(reply: LiteralReply): number {
  return isStaleForbidden(reply) ? 0 : (seconds(directivesOf(reply), "stale-while-revalidate") ?? 0);
}
const staleIfError = (reply: LiteralReply): number =>
  isStaleForbidden(reply) ? 0 : (seconds(directivesOf(reply), "stale-if-error") ?? 0);

/** Section 4.1. */
function isSelected(reply: LiteralReply, first: LiteralRequest, second: LiteralRequest): boolean {
  if (reply.vary.includes("*")) return false;
  return reply.vary.every((name) => first.fields[name] === second.fields[name]);
}

/** What a cache does with `second`, so many seconds after the reply to `first` came. */
export function literally(
  first: LiteralRequest,
  reply: LiteralReply,
  second: LiteralRequest,
  elapsed: number,
): Verdict {
  // A response that varies by everything is selected by nothing: there is no sense in storing it.
  if (!mayStore(first, reply) || isRefused(reply) || reply.vary.includes("*")) return "not stored";
  if (!isSelected(reply, first, second)) return "not for this request";
  const wants = second.directives;
  const currentAge = correctedInitialAge(reply) + elapsed;
  const freshFor = lifetime(reply) - currentAge;
  const said = directivesOf(reply);
  // Section 4: "the stored response does not contain the no-cache directive, unless it is successfully validated"
  if (isWhole(said, "no-cache")) return "validate";
  // 5.2.1.4: "MUST NOT use a stored response to satisfy the request without successful validation"
  if (has(wants, "no-cache")) return "validate";
  // 5.2.1.1: "a response whose age is less than or equal to"; nobody who says 0 wants anything but an answer of now
  const maxAge = seconds(wants, "max-age");
  if (maxAge !== undefined && (currentAge > maxAge || maxAge === 0)) return "validate";
  // 5.2.1.3: "whose freshness lifetime is no less than its current age plus the specified time"
  const minFresh = find(wants, "min-fresh");
  if (minFresh !== undefined && (typeof minFresh.argument !== "number" || freshFor < minFresh.argument)) {
    return "validate";
  }
  // 4.2: response_is_fresh = (freshness_lifetime > current_age)
  if (freshFor > 0) return "use";
  if (minFresh !== undefined) return "validate";
  const maxStale = find(wants, "max-stale");
  if (maxStale !== undefined && maxStale.argument !== "invalid") {
    // 5.2.1.2: "exceeded its freshness lifetime by no more than the specified number of seconds"
    const isTaken = maxStale.argument === undefined || -freshFor <= (maxStale.argument as number);
    const isNever = lifetime(reply) === 0; // what is never fresh is not stale by accident: said in the docs
    if (isTaken && !isNever && !isStaleForbidden(reply) && !has(said, "s-maxage")) return "use";
  } else if (maxAge !== undefined) return "validate"; // 5.2.1.1: "Unless the max-stale request directive is also present"
  return -freshFor < staleWhileRevalidate(reply) ? "use, and validate behind" : "validate";
}

/** How what is said may be written without changing what it means. */
export interface Hand {
  /** A whole number below `below`, for each choice. */
  choose(below: number): number;
}

/** Lines of a field with directives. */
function writeDirectives(field: string, said: readonly Said[], hand: Hand): string[] {
  const lines: string[] = [];
  for (const each of said) {
    const text = writeDirective(each, hand);
    if (lines.length > 0 && hand.choose(3) > 0)
      lines.push(`${lines.pop()}${[",", ", ", " ,, "][hand.choose(3)]}${text}`);
    else lines.push(`${hand.choose(2) === 0 ? field : field.toLowerCase()}: ${text}`);
  }
  return lines;
}

const INVALID = ["-1", "1.5", "x", "", "'9'", "9s"];

function writeDirective({ name, argument }: Said, hand: Hand): string {
  const written = hand.choose(3) === 0 ? name.toUpperCase() : name;
  if (argument === undefined) return written;
  if (argument === "invalid") return `${written}=${INVALID[hand.choose(INVALID.length)]}`;
  if (typeof argument !== "number") return `${written}="${argument.join(", ")}"`;
  const digits = hand.choose(3) === 0 ? `00${argument}` : String(argument);
  return hand.choose(3) === 0 ? `${written}="${digits}"` : `${written}=${digits}`;
}

export function writeReply(reply: LiteralReply, nowMs: number, hand: Hand): string[] {
  const date = (value: number | "invalid"): string =>
    value === "invalid"
      ? ["0", "tomorrow", "-1"][hand.choose(3)]!
      : new Date(nowMs + value * 1000).toUTCString();
  const lines = writeDirectives("Cache-Control", reply.directives, hand);
  if (reply.targeted !== undefined) {
    const members = reply.targeted.map(({ name, argument }) =>
      argument === undefined ? name : `${name}=${argument}`,
    );
    lines.push(`CDN-Cache-Control: ${members.join(", ")}`);
  }
  if (reply.expires !== undefined) lines.push(`Expires: ${date(reply.expires)}`);
  if (reply.date !== undefined) lines.push(`Date: ${date(reply.date)}`);
  if (reply.age !== undefined) lines.push(`Age: ${reply.age === "invalid" ? "soon" : reply.age}`);
  if (reply.lastModified !== undefined) lines.push(`Last-Modified: ${date(reply.lastModified)}`);
  if (reply.etag) lines.push('ETag: "a"');
  if (reply.setsCookie) lines.push("Set-Cookie: a=b");
  for (const name of reply.vary) lines.push(`Vary: ${name}`);
  return lines;
}

export function writeRequest(request: LiteralRequest, hand: Hand): string[] {
  const lines = writeDirectives("Cache-Control", request.directives, hand);
  if (request.authorization) lines.push("Authorization: Basic x");
  for (const [name, value] of Object.entries(request.fields)) lines.push(`${name}: ${value}`);
  return lines;
}
