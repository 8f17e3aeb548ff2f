/** What a cache sends on without answering it: requests that it has nothing to do with, and changes. */
import type { Exchange, Handler, Reply } from "../../core/plugin.ts";
import { addStatus, type Forwarded, sent } from "./cache-status.ts";
import type { CacheCounts } from "./counts.ts";
import type { Flights } from "./flights.ts";
import { addressOf, urlOf } from "./head.ts";
import { invalidatedUrls } from "./invalidation.ts";
import type { Levels } from "./levels.ts";
import type { ReplyNotes } from "./reply-notes.ts";
import type { CacheRules } from "./rules.ts";

export interface PassageParts {
  readonly next: Handler;
  readonly rules: CacheRules;
  readonly levels: Levels;
  readonly flights: Flights;
  readonly counts: CacheCounts;
  readonly notes: ReplyNotes;
}

export class Passage {
  readonly #parts: PassageParts;

  constructor(parts: PassageParts) {
    this.#parts = parts;
  }

  /** The cache has nothing to do with it. */
  async pass(x: Exchange, why: Forwarded, detail?: string): Promise<Reply> {
    this.#parts.counts.requests.bypass++;
    const reply = await this.send(x);
    addStatus(reply.headers, sent({ why, detail }));
    return reply;
  }

  /** Sends what brings nothing that is stored. What the reply tells the cache alone is done and taken away. */
  async send(x: Exchange): Promise<Reply> {
    const { next, notes } = this.#parts;
    const reply = await next(x);
    notes.takeTags(reply.headers);
    const purging = notes.obey(x, reply.headers);
    if (purging !== undefined) await purging;
    return reply;
  }

  /** What is stored is not right any more once the upstream has agreed to the change (RFC 9111 section 4.4). */
  async change(x: Exchange): Promise<Reply> {
    const { rules, counts } = this.#parts;
    const { keys } = rules;
    const key = keys.ofTarget(x, x.path, x.search);
    const address = addressOf(x, keys);
    const url = urlOf(x);
    const { path } = x;
    counts.requests.bypass++;
    const reply = await this.send(x);
    const [own, ...others] = invalidatedUrls(url, reply.status, reply.headers);
    if (own !== undefined) this.#invalidate(key, address);
    // What other URLs become in the stages above is not known here.
    if (path === x.originalPath) {
      for (const other of others) {
        const { pathname, search } = new URL(other);
        const itsAddress = keys.addressOf(x.authority, x.scheme, pathname, search);
        this.#invalidate(keys.ofTarget(x, pathname, search), itsAddress);
      }
    }
    addStatus(reply.headers, sent({ why: "method" }));
    return reply;
  }

  #invalidate(key: string, address: string): void {
    const { levels, flights } = this.#parts;
    levels.change(key, address);
    flights.spoil(key);
    flights.spoil(address);
  }
}
