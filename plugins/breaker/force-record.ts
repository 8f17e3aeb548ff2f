/** What an operator forces of a subject: for all threads, and for circuits that they meet later. */
import type { SharedCells } from "../../core/plugin.ts";
import type { Force } from "./state-word.ts";

/** What an operator said is kept for longer than a process lives, as a rule. */
const TTL_MS = 365 * 86_400_000;
/** For a look at what may not be there. */
const LOOK_TTL_MS = 1000;

/** What is forced, as far as anybody ever said so. */
export type KnownForce = Force | "nothing" | "unknown";

/** By the word that stands for them. */
const CODES = ["unknown", "nothing", "open", "closed"] as const satisfies readonly KnownForce[];

export class ForceRecord {
  readonly #cells: SharedCells;
  readonly #key: string;
  /** What this thread was told: there may be no room in the memory that all threads see. */
  #own: KnownForce = "unknown";
  #isShared = true;

  constructor(cells: SharedCells, key: string) {
    this.#cells = cells;
    this.#key = key;
  }

  /** True when only this thread knows that something is forced. */
  get isOwn(): boolean {
    return !this.#isShared && (this.#own === "open" || this.#own === "closed");
  }

  read(now: number): KnownForce {
    const at = this.#cells.locate(this.#key, LOOK_TTL_MS, now);
    this.#isShared = at !== -1;
    return at === -1 ? this.#own : CODES[Atomics.load(this.#cells.words, at)]!;
  }

  write(force: Force | "nothing", now: number): void {
    this.#own = force;
    const at = this.#cells.locate(this.#key, TTL_MS, now);
    this.#isShared = at !== -1;
    if (at !== -1) Atomics.store(this.#cells.words, at, CODES.indexOf(force));
  }
}
