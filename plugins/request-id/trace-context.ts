/** What makes the fields of W3C Trace Context valid (https://www.w3.org/TR/trace-context/). */

/** Version, trace-id, parent-id, flags; then nothing in version 00 and more fields in later ones (section 3.2.2). */
const TRACEPARENT =
  /^(?:00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}|(?!00|ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?)$/;

/** `key=value`; the keys of level 2, which include those of level 1. A value does not end in a space. */
const MEMBER =
  /^[ \t]*[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e][ \t]*$/;
const EMPTY_MEMBER = /^[ \t]*$/;

const MAX_MEMBERS = 32;

/** True for a valid traceparent of this or a later version. */
export function isTraceparent(value: string): boolean {
  return TRACEPARENT.test(value);
}

/** True for a valid tracestate, its lines joined: at most 32 members, empty ones not counted (section 3.3.1). */
export function isTracestate(value: string): boolean {
  let members = 0;
  for (const member of value.split(",")) {
    if (EMPTY_MEMBER.test(member)) continue;
    if (++members > MAX_MEMBERS || !MEMBER.test(member)) return false;
  }
  return true;
}
