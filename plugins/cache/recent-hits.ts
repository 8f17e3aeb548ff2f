/** Replies that hits get, made once for all that are the same: until Age or the rest of the time is another. */
import { type Body, HeaderList, Printed, PRINTED_BODY_BYTES, Reply } from "../../core/plugin.ts";
import { ageMs } from "./age.ts";
import { hit } from "./cache-status.ts";
import type { Entry } from "./entry.ts";
import { ttlSeconds } from "./serve.ts";

/** How many entries: their texts take memory beside what entries count for. */
const MOST = 256;
const KEPT_MS = 1000;

/** Makes a reply of an entry. A body of it is one that may be started again. */
export type MakeReply = (entry: Entry, nowMs: number, status: string) => Reply;

interface RecentHit {
  readonly status: number;
  readonly reason: string | undefined;
  readonly headers: readonly string[];
  readonly body: Body | null;
  readonly printed: Printed;
  /** Before and after, the headers say something else. */
  readonly fromMs: number;
  readonly untilMs: number;
}

export class RecentHits {
  readonly #make: MakeReply;
  /** Those since a certain time: all go once a second, so that nothing is kept that nobody asks for. */
  readonly #hits = new Map<Entry, RecentHit>();
  #sinceMs = 0;

  constructor(make: MakeReply) {
    this.#make = make;
  }

  /** The reply with an entry that is whole and fresh. */
  reply(entry: Entry, nowMs: number): Reply {
    if (nowMs >= this.#sinceMs + KEPT_MS || nowMs < this.#sinceMs) {
      this.#hits.clear();
      this.#sinceMs = nowMs;
    }
    const recent = this.#hits.get(entry);
    if (recent === undefined || nowMs >= recent.untilMs || nowMs < recent.fromMs) {
      return this.#first(entry, nowMs);
    }
    const reply = new Reply(recent.status, new HeaderList(recent.headers.slice()), recent.body);
    reply.reason = recent.reason;
    reply.printed = recent.printed;
    return reply;
  }

  #first(entry: Entry, nowMs: number): Reply {
    const reply = this.#make(entry, nowMs, hit(ttlSeconds(entry, nowMs)));
    const { status, reason, body } = reply;
    if ((body?.length ?? 0) > PRINTED_BODY_BYTES || this.#hits.size >= MOST) return reply;
    if (nowMs < entry.respondedAtMs) return reply; // the clock was set back: ages get less now
    const age = ageMs(entry, nowMs);
    const untilMs = nowMs + Math.min(1000 - (age % 1000), Math.floor((entry.freshMs - age) % 1000) + 1);
    const printed = new Printed();
    reply.printed = printed;
    const headers = reply.headers.raw.slice();
    this.#hits.set(entry, { status, reason, headers, body, printed, fromMs: nowMs, untilMs });
    return reply;
  }
}
