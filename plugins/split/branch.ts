/** One way that a split may send a request: its upstream, who goes there, and what is told of it. */
import { editReplyHeaders } from "../../core/edit-reply-headers.ts";
import type { Predicate } from "../../core/match.ts";
import type { Exchange, Handler, HeaderList, Reply } from "../../core/plugin.ts";

/** What became of a branch's requests; outlives a swap. */
export interface BranchCounts {
  requests: number;
  failovers: number;
}

export interface BranchSettings {
  readonly name: string;
  readonly weight: number;
  readonly when: Predicate | undefined;
  /** Sends to the branch's upstream. */
  readonly send: Handler;
  readonly counts: BranchCounts;
  /** Headers that tell the branch; lower case. */
  readonly requestHeader: string | undefined;
  readonly replyHeader: string | undefined;
}

export class Branch {
  readonly name: string;
  readonly weight: number;
  readonly when: Predicate | undefined;
  readonly counts: BranchCounts;
  readonly #send: Handler;
  readonly #requestHeader: string | undefined;
  readonly #tell: ((headers: HeaderList) => void) | undefined;

  constructor(settings: BranchSettings) {
    const { name, replyHeader } = settings;
    this.name = name;
    this.weight = settings.weight;
    this.when = settings.when;
    this.counts = settings.counts;
    this.#send = settings.send;
    this.#requestHeader = settings.requestHeader;
    this.#tell = replyHeader === undefined ? undefined : (headers) => headers.setChecked(replyHeader, name);
  }

  /** True for a branch that may take requests of others: one that only its `when` chooses may not. */
  get takesOver(): boolean {
    return this.weight > 0 || this.when === undefined;
  }

  serve(x: Exchange): Reply | Promise<Reply> {
    this.counts.requests++;
    if (this.#requestHeader !== undefined) x.headers.setChecked(this.#requestHeader, this.name);
    return this.#tell === undefined ? this.#send(x) : editReplyHeaders(x, this.#send, this.#tell);
  }
}
