/** Replies with whole entries, made once for all that are the same: until Age or the rest of the time is another. */
import { BytesBody, HeaderList, Printed, PRINTED_BODY_BYTES, Reply } from "../../core/plugin.ts";
import { ageMs } from "./age.ts";
import { hit } from "./cache-status.ts";
import type { Entry } from "./entry.ts";
import { ttlSeconds, wholeReply } from "./serve.ts";

/** How many entries: their texts take memory beside what entries count for. */
const MOST = 256;
const KEPT_MS = 1000;

interface RecentHit {
  readonly headers: readonly string[];
  readonly body: BytesBody;
  readonly printed: Printed;
  /** Before and after, the headers say something else. */
  readonly fromMs: number;
  readonly untilMs: number;
}

export class RecentHits {
  /** Those since a certain time: all go once a second, so that nothing is kept that nobody asks for. */
  readonly #hits = new Map<Entry, RecentHit>();
  #sinceMs = 0;

  /** The reply to a GET with an entry that is whole and fresh. */
  reply(entry: Entry, nowMs: number): Reply {
    if (nowMs >= this.#sinceMs + KEPT_MS || nowMs < this.#sinceMs) {
      this.#hits.clear();
      this.#sinceMs = nowMs;
    }
    const recent = this.#hits.get(entry);
    if (recent === undefined || nowMs >= recent.untilMs || nowMs < recent.fromMs) {
      return this.#make(entry, nowMs);
    }
    const reply = new Reply(entry.status, new HeaderList(recent.headers.slice()), recent.body);
    reply.reason = entry.reason;
    reply.printed = recent.printed;
    return reply;
  }

  #make(entry: Entry, nowMs: number): Reply {
    const body = new BytesBody(entry.body);
    const reply = wholeReply(entry, body, nowMs, hit(ttlSeconds(entry, nowMs)));
    if (body.length > PRINTED_BODY_BYTES || this.#hits.size >= MOST) return reply;
    const age = ageMs(entry, nowMs);
    const untilMs = nowMs + Math.min(1000 - (age % 1000), Math.floor((entry.freshMs - age) % 1000) + 1);
    reply.printed = new Printed();
    const headers = reply.headers.raw.slice();
    this.#hits.set(entry, { headers, body, printed: reply.printed, fromMs: nowMs, untilMs });
    return reply;
  }
}
