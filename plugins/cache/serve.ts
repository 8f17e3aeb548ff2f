/** Replies made of stored responses. */
import { type Body, BytesBody, type Exchange, HeaderList, Reply } from "../../core/plugin.ts";
import { ageMs, ageSeconds } from "./age.ts";
import { isNotModified, notModifiedHeaders } from "./conditional.ts";
import { sent } from "./cache-status.ts";
import type { Entry } from "./entry.ts";
import type { Found } from "./levels.ts";
import { answerRange } from "./range.ts";
import type { CacheRequest } from "./request.ts";

/** Whole seconds that an entry is still fresh for; negative once it is stale. */
export function ttlSeconds(entry: Entry, nowMs: number): number {
  return Math.floor((entry.freshMs - ageMs(entry, nowMs)) / 1000);
}

/**
 * The reply to a request from an entry that may be used for it.
 * @param status for Cache-Status
 * @returns undefined when the entry is a part, and not the one that is wanted
 */
export function replyFrom(
  entry: Entry,
  x: Exchange,
  request: CacheRequest,
  nowMs: number,
  status: string,
): Reply | undefined {
  const isPlain = request.range === undefined && entry.part === undefined;
  if (isNotModified(entry, request, nowMs)) return notModified(entry, nowMs, status);
  if (isPlain || (x.method !== "GET" && entry.part === undefined)) {
    return storedReply(entry, nowMs, status);
  }
  const answer = answerRange(entry, request, nowMs);
  switch (answer.kind) {
    case "missing":
      return undefined;
    case "whole":
      return storedReply(entry, nowMs, status);
    case "part": {
      const reply = wholeReply(entry, new BytesBody(answer.body), nowMs, status);
      reply.status = 206;
      reply.reason = undefined;
      reply.headers.setChecked("content-length", String(answer.body.length));
      reply.headers.setChecked("content-range", answer.contentRange);
      return reply;
    }
    case "unsatisfiable": {
      const headers = new HeaderList(["content-range", answer.contentRange, "cache-status", status]);
      return new Reply(416, headers);
    }
  }
}

/** The same from an entry that somebody else had. */
export function foundReply(
  { entry, from }: Found,
  x: Exchange,
  request: CacheRequest,
  nowMs: number,
): Reply | undefined {
  const status = sent({ why: "hit", ttlSeconds: ttlSeconds(entry, nowMs), detail: from });
  return replyFrom(entry, x, request, nowMs, status);
}

/** The reply with all of an entry that is whole. */
export function storedReply(entry: Entry, nowMs: number, status: string): Reply {
  return wholeReply(entry, new BytesBody(entry.body), nowMs, status);
}

/** 304 for a client that has what an entry is. */
export function notModified(entry: Entry, nowMs: number, status: string): Reply {
  return finish(new Reply(304, new HeaderList(notModifiedHeaders(entry))), entry, nowMs, status);
}

/** The reply with all of an entry, and a body that may still be on its way. */
export function wholeReply(entry: Entry, body: Body | null, nowMs: number, status: string): Reply {
  const reply = new Reply(entry.status, new HeaderList(entry.headers.slice()), body);
  reply.reason = entry.reason;
  return finish(reply, entry, nowMs, status);
}

function finish(reply: Reply, entry: Entry, nowMs: number, status: string): Reply {
  reply.headers.raw.push("age", String(ageSeconds(entry, nowMs)), "cache-status", status);
  return reply;
}

/** Cookies are not stored, but are for the one whose request has brought them. */
export function withCookies(reply: Reply, cookies: readonly string[]): Reply {
  for (const cookie of cookies) reply.headers.append("set-cookie", cookie);
  return reply;
}
