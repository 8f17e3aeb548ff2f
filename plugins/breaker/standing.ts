/**
 * Where a circuit stands. All threads share one word of memory ({@link CircuitCell}): a transition is the exchange of
 * that word, so that one thread makes it and tells of it, and all others see it with their next request. What a state
 * needs is written before its word is. On each thread opossum's machine ({@link Machine}) follows: the first whose
 * time is up makes an open circuit half-open, or else the first request after that time does.
 */
import type { Clock } from "../../core/plugin.ts";
import { CHANGED_AT, type CircuitCell, OPEN_UNTIL, REASON, REASON_COUNT, REASON_OF, STATE } from "./cell.ts";
import { Machine } from "./machine.ts";
import { codeOf, type Reason, renderReason } from "./reasons.ts";
import {
  type CircuitState,
  forcedOf,
  HALF_OPEN,
  isFree,
  nextWord,
  OPEN,
  openedOf,
  phaseOf,
  stateOf,
} from "./state-word.ts";

/** What a circuit needs of the gateway, and whom it tells of what this thread did. */
export interface StandingContext {
  readonly clock: Clock;
  /** @param openForMs how long it will be open, if that is known */
  onTransition(to: CircuitState, reason: string, openForMs: number | undefined): void;
  /** Its memory was looked up again, and may be new: what an operator wants may have to be said again. */
  onLocated(): void;
}

/** No state has this word. */
const NO_WORD = -1;

export class Standing {
  readonly #cell: CircuitCell;
  readonly #context: StandingContext;
  /** Made when this thread sees it open for the first time: most never do. */
  #machine: Machine | undefined;
  /** The state that this thread follows. */
  #seen = 0;
  /** The same, when nothing can be due in it. */
  #calm = 0;
  #openUntil = 0;
  #isEnded = false;

  constructor(cell: CircuitCell, context: StandingContext) {
    this.#cell = cell;
    this.#context = context;
    this.#locate(context.clock.monotonic());
  }

  /** Until when it is open, in monotonic milliseconds, as of the last look. */
  get openUntil(): number {
    return this.#openUntil;
  }

  /** When people last saw it change, in milliseconds since the epoch. */
  get since(): number {
    const { doubles, doublesAt } = this.#cell;
    return doubles[doublesAt + CHANGED_AT]!;
  }

  /** The word of its state now. */
  look(now: number): number {
    const cell = this.#cell;
    if (now >= cell.locateAt) {
      this.#locate(now);
      this.#context.onLocated();
    }
    const { words, at } = cell;
    // A plain read costs less by far. Whoever finds something new reads again, and then what belongs to it.
    if (words[at + STATE] === this.#calm) return this.#calm;
    return this.#follow(Atomics.load(words, at + STATE), now);
  }

  /**
   * Makes a transition and tells of it, unless another thread has changed the state.
   * @param openUntil of a state that is open
   */
  move(
    from: number,
    to: number,
    now: number,
    { name, count = 0, of = 0 }: Reason,
    openUntil?: number,
  ): boolean {
    const { words, at, doubles, doublesAt } = this.#cell;
    if (openUntil !== undefined) doubles[doublesAt + OPEN_UNTIL] = openUntil;
    if (Atomics.compareExchange(words, at + STATE, from, to) !== from) return false;
    Atomics.store(words, at + REASON, codeOf(name));
    Atomics.store(words, at + REASON_COUNT, count);
    Atomics.store(words, at + REASON_OF, of);
    const state = stateOf(to);
    const isVisible = state !== stateOf(from);
    if (isVisible) doubles[doublesAt + CHANGED_AT] = this.#context.clock.now();
    this.#follow(to, now);
    if (isVisible) {
      const openForMs = forcedOf(to) === undefined && state === "open" ? this.#openUntil - now : undefined;
      this.#context.onTransition(state, this.reasonOf(to), openForMs);
    }
    return true;
  }

  /** Why it is in a state; empty while it never changed. */
  reasonOf(word: number): string {
    const forced = forcedOf(word);
    if (forced !== undefined) return `forced ${forced}`;
    const { words, at } = this.#cell;
    return renderReason(words[at + REASON]!, words[at + REASON_COUNT]!, words[at + REASON_OF]!);
  }

  /** This thread follows no more: no timer runs. */
  close(): void {
    this.#isEnded = true;
    this.#machine?.shutdown();
  }

  /** The machine of this thread has waited long enough. */
  onHalfOpen(): void {
    const waitedFor = this.#seen;
    const now = this.#context.clock.monotonic();
    const word = this.look(now);
    // Timers may be early by a little: it is the machine that decides.
    if (word === waitedFor && phaseOf(word) === OPEN) this.#tryAgain(word, now);
  }

  #locate(now: number): void {
    this.#cell.locate(now);
    const { doubles, doublesAt } = this.#cell;
    if (doubles[doublesAt + CHANGED_AT] === 0) doubles[doublesAt + CHANGED_AT] = this.#context.clock.now();
  }

  /** Has the machine follow, and makes the circuit half-open when its time is over. Gives the state then. */
  #follow(word: number, now: number): number {
    const isOpen = phaseOf(word) === OPEN;
    if (word !== this.#seen) {
      this.#seen = word;
      if (!isFree(word)) this.#cell.locate(now); // it is kept for longer now
      const { doubles, doublesAt } = this.#cell;
      if (isOpen) this.#openUntil = doubles[doublesAt + OPEN_UNTIL]!;
      this.#turnMachine(word, now);
    }
    this.#calm = isOpen ? NO_WORD : word;
    if (!isOpen || now < this.#openUntil) return word;
    this.#tryAgain(word, now);
    return this.look(now);
  }

  #turnMachine(word: number, now: number): void {
    if (this.#isEnded) return;
    if (phaseOf(word) === OPEN) {
      this.#machine ??= new Machine(this);
      this.#machine.open(Math.max(0, this.#openUntil - now));
    } else if (phaseOf(word) !== HALF_OPEN) this.#machine?.close();
  }

  #tryAgain(word: number, now: number): void {
    const next = nextWord(word, HALF_OPEN, forcedOf(word), openedOf(word));
    this.move(word, next, now, { name: "openForIsOver" });
  }
}
