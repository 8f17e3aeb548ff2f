/** What an operator forces of a subject, for all threads and for circuits to come. */
import type { SharedCells } from "../../core/plugin.ts";
import type { Force } from "./state-word.ts";

/** What is forced is kept for longer than a process lives, as a rule. */
const FORCED_TTL_MS = 365 * 86_400_000;
/** Nothing is lost when nothing is forced. */
const FREE_TTL_MS = 1000;

const CODES = [undefined, "open", "closed"] as const satisfies readonly (Force | undefined)[];

export class ForceRecord {
  readonly #cells: SharedCells;
  readonly #key: string;
  /** As this thread knows it, for when there is no room in the memory that all threads see. */
  #own: Force | undefined;
  #isShared = true;

  constructor(cells: SharedCells, key: string) {
    this.#cells = cells;
    this.#key = key;
  }

  /** True when only this thread remembers that something is forced. */
  get isOwn(): boolean {
    return !this.#isShared && this.#own !== undefined;
  }

  /** What is forced; "unknown" when there is nowhere to look. */
  read(now: number): Force | undefined | "unknown" {
    const at = this.#cells.locate(this.#key, FREE_TTL_MS, now);
    this.#isShared = at !== -1;
    if (at === -1) return this.#own ?? "unknown";
    return CODES[Atomics.load(this.#cells.words, at)];
  }

  write(force: Force | undefined, now: number): void {
    this.#own = force;
    const at = this.#cells.locate(this.#key, force === undefined ? FREE_TTL_MS : FORCED_TTL_MS, now);
    this.#isShared = at !== -1;
    if (at !== -1) Atomics.store(this.#cells.words, at, CODES.indexOf(force));
  }
}
