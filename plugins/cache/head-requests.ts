/** HEAD, where this thread has nothing to answer with: what others have will do; else what comes back updates that. */
import type { Clock, Reply } from "../../core/plugin.ts";
import { addStatus, sent } from "./cache-status.ts";
import type { CacheCounts } from "./counts.ts";
import type { Entry } from "./entry.ts";
import { freshen, judgeHead } from "./freshen.ts";
import { askedOf } from "./head.ts";
import { type Elsewhere, type Levels, reasonWith } from "./levels.ts";
import type { Passage } from "./passage.ts";
import type { CacheRules } from "./rules.ts";
import { foundReply } from "./serve.ts";
import { type Asked, isAboutRequest } from "./storable.ts";
import { normalizedField } from "./vary.ts";
import type { Wanted } from "./wanted.ts";

const NOT_ASKED: Elsewhere = { found: undefined, hasOthers: false };

export interface HeadRequestsParts {
  readonly passage: Passage;
  readonly rules: CacheRules;
  readonly levels: Levels;
  readonly counts: CacheCounts;
  readonly clock: Clock;
}

export class HeadRequests {
  readonly #parts: HeadRequestsParts;

  constructor(parts: HeadRequestsParts) {
    this.#parts = parts;
  }

  /** @param isMarked nothing that others could have is expected */
  async ask(wanted: Wanted, isMarked: boolean): Promise<Reply> {
    const { passage, rules, levels, counts, clock } = this.#parts;
    const { x, request, stored } = wanted;
    const elsewhere = isMarked || wanted.why === "request" ? NOT_ASKED : await levels.peekElsewhere(wanted);
    const { found } = elsewhere;
    if (found?.isUsable) {
      counts.requests.hit++;
      return foundReply(found, x, request, clock.now())!;
    }
    const asked = askedOf(x, request, rules.keys);
    const { version } = levels.purges;
    const requestedAtMs = clock.now();
    const why = reasonWith(wanted.why, elsewhere);
    const reply = await passage.send(x);
    counts.requests.miss++;
    await this.#update(wanted.key, found?.entry ?? stored, asked, reply, requestedAtMs, version);
    addStatus(reply.headers, sent({ why }));
    return reply;
  }

  /** What came back says whether what is stored is still right (RFC 9111 section 4.3.5). */
  async #update(
    key: string,
    known: Entry | undefined,
    asked: Asked,
    { status, headers }: Reply,
    requestedAtMs: number,
    version: number,
  ): Promise<void> {
    const { rules, levels, clock } = this.#parts;
    const here = levels.memory.find(key, (name) => normalizedField(asked.headers, name));
    const isNewer = here !== undefined && here.respondedAtMs >= (known?.respondedAtMs ?? 0);
    const entry = isNewer ? here : known;
    if (entry === undefined || entry.part !== undefined) return;
    const said = judgeHead(entry, status, headers);
    if (said === "same") {
      const times = { requestedAtMs, respondedAtMs: clock.now() };
      const freshened = freshen({ ...entry, version }, headers, asked, times, rules.freshness);
      if (freshened.refusal === undefined) levels.keep(freshened.entry);
      else if (!isAboutRequest(freshened.refusal)) levels.drop(key);
    } else if (said === "other") {
      await levels.outdate(key);
    }
  }
}
