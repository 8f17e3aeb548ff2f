import fc from "fast-check";
import CachePolicy from "http-cache-semantics";
import { describe, expect, it } from "vitest";
import { headersOf, NOW } from "../../support/cache-replies.ts";
import {
  type Hand,
  type LiteralReply,
  type LiteralRequest,
  literally,
  writeReply,
  writeRequest,
} from "../../support/rfc9111.ts";
import { elapsed, replies, requests } from "../../support/rfc9111-arbitraries.ts";

/** It reads lower case and unquoted numbers only. */
const PLAIN: Hand = { choose: (below) => below - 1 };

function fieldsOf(lines: readonly string[]): Record<string, string> {
  const headers = headersOf(...lines);
  const names = lines.map((line) => line.slice(0, line.indexOf(":")).toLowerCase());
  return Object.fromEntries(names.map((name) => [name, headers.getJoined(name)!]));
}

type Answer = "used" | "used and refreshed" | "not used";

/** What `http-cache-semantics` does. */
function theirs(first: LiteralRequest, reply: LiteralReply, second: LiteralRequest, seconds: number): Answer {
  let now = NOW;
  class Policy extends CachePolicy {
    override now(): number {
      return now;
    }
  }
  const request = { url: "/", method: "GET", headers: fieldsOf(writeRequest(first, PLAIN)) };
  const response = { status: reply.status, headers: fieldsOf(writeReply(reply, NOW, PLAIN)) };
  const kept = new Policy(request, response);
  if (!kept.storable()) return "not used";
  now += seconds * 1000;
  const found = kept.evaluateRequest({ ...request, headers: fieldsOf(writeRequest(second, PLAIN)) });
  if (found.response === undefined) return "not used";
  return found.revalidation === undefined ? "used" : "used and refreshed";
}

function ours(first: LiteralRequest, reply: LiteralReply, second: LiteralRequest, seconds: number): Answer {
  const verdict = literally(first, reply, second, seconds);
  if (verdict === "use") return "used";
  return verdict === "use, and validate behind" ? "used and refreshed" : "not used";
}

type Applies = (reply: LiteralReply, second: LiteralRequest) => boolean;

const says =
  (...names: string[]): Applies =>
  ({ directives }) =>
    directives.some(({ name }) => names.includes(name));
const asks =
  (...names: string[]): Applies =>
  (_, { directives }) =>
    directives.some(({ name }) => names.includes(name));

/** Where the two differ, and mean to. Each is met among some ten thousand of these requests and replies. */
const DIFFERENCES: Readonly<Record<string, Applies>> = {
  "it knows nothing of RFC 9213": (reply) => reply.targeted !== undefined,
  "it never uses what must be revalidated, not even while it is fresh": says(
    "must-revalidate",
    "proxy-revalidate",
  ),
  "it takes private and no-cache with names of fields for those without": ({ directives }) =>
    directives.some(({ argument }) => Array.isArray(argument)),
  "it knows nothing of must-understand, and uses what has no-cache within stale-while-revalidate": says(
    "must-understand",
    "no-cache",
  ),
  "it takes the last of several, and of numbers that are invalid what they begin with": ({ directives }) =>
    directives.some(({ argument }) => argument === "invalid") ||
    new Set(directives.map(({ name }) => name)).size < directives.length,
  "it gives cookies of public replies to all, and refuses others": (reply) => reply.setsCookie,
  "it leaves the time since Date, and that of the request, out of the age": (reply) =>
    reply.delay > 0 || typeof reply.date === "number",
  "it reads dates as JavaScript does, to which -1 is one": (reply) =>
    reply.date === "invalid" || reply.expires === "invalid",
  "it has Age ignored when it is invalid": (reply) => reply.age === "invalid",
  "it stores statuses that it knows only, and has heuristics for all": (reply) =>
    ![200, 203, 204, 301, 404].includes(reply.status),
  "it knows no max-age=0, and lets max-age take what is stale": asks("max-age"),
  "it gives what is stale to those who want it fresh for longer": asks("min-fresh"),
  "it has max-stale take what s-maxage forbids, and a second less": asks("max-stale"),
};

describe("the cache and http-cache-semantics", () => {
  it("agree, but for the differences that are meant", () => {
    fc.assert(
      fc.property(requests, replies, requests, elapsed, (first, reply, second, seconds) => {
        fc.pre(!Object.values(DIFFERENCES).some((applies) => applies(reply, second)));
        expect(theirs(first, reply, second, seconds)).toBe(ours(first, reply, second, seconds));
      }),
      { numRuns: 2000 },
    );
  });
});
