/** The copies of one route's requests to one upstream that are under way, and what became of the others. */

/**
 * How a copy ended: `ok` replied below 500, `error` replied 500 and above, `failed` got no whole reply, `skipped_body`
 * was not sent because its body was too large or incomplete, `skipped_busy` because too many were under way.
 */
export type CopyResult = "ok" | "error" | "failed" | "skipped_body" | "skipped_busy";

/** Something under way. */
export interface UnderWay {
  /** Where it is in the list that it is in. */
  index: number;
  giveUp(reason: Error): void;
}

/** Shared by generations. */
export class Copies {
  readonly counts: Record<CopyResult, number> = {
    ok: 0,
    error: 0,
    failed: 0,
    skipped_body: 0,
    skipped_busy: 0,
  };
  readonly #underWay: UnderWay[] = [];
  #stages = 0;

  get size(): number {
    return this.#underWay.length;
  }

  add(copy: UnderWay): void {
    copy.index = this.#underWay.length;
    this.#underWay.push(copy);
  }

  remove(copy: UnderWay): void {
    const last = this.#underWay.pop()!;
    if (last === copy) return;
    this.#underWay[copy.index] = last;
    last.index = copy.index;
  }

  /** A stage makes copies from now on. */
  open(): void {
    this.#stages++;
  }

  /** A stage makes no more copies. When no other does either, those under way are given up: nobody would wait. */
  close(): void {
    if (--this.#stages > 0) return;
    const reason = new Error("the mirror is closed");
    for (const copy of this.#underWay.slice()) copy.giveUp(reason);
  }
}
