/**
 * One circuit: counts outcomes, decides when to open and when to trust again, and says who may pass. All threads
 * share it: see {@link Standing} for how.
 */
import { retryAfterSeconds } from "../../core/retry-after.ts";
import { type CircuitCell, STATE, TELLER, TOLD_AT } from "./cell.ts";
import { Probes } from "./probes.ts";
import type { Reason } from "./reasons.ts";
import { Recovery, type RecoveryOptions } from "./recovery.ts";
import { Standing, type StandingContext } from "./standing.ts";
import {
  type CircuitState,
  CLOSED,
  type Force,
  forcedOf,
  HALF_OPEN,
  isForced,
  isFree,
  isProbing,
  nextWord,
  OPEN,
  openedOf,
  phaseOf,
  RECOVERING,
  recoveredWord,
  stateOf,
  ticketOf,
} from "./state-word.ts";
import { RollingWindow } from "./window.ts";

export interface CircuitOptions extends RecoveryOptions {
  /** Requests in the window below which rates say nothing. */
  readonly minRequests: number;
  readonly withinMs: number;
  /** Infinity for never. */
  readonly consecutiveFailures: number;
  readonly openForMs: number;
  readonly maxOpenForMs: number;
  readonly halfOpen: number;
}

/** What became of a request that was let in; `ignored` tells nothing about who was asked. */
export type Outcome = "success" | "failure" | "slow" | "ignored";

export interface CircuitContext extends StandingContext {
  /** Number of this thread, from 0. */
  readonly thread: number;
  random(): number;
  /** This thread found that all requests may be let in again. */
  onRecovered(): void;
}

/** Retry-After while it is not known when requests are let in. */
const SOON_SECONDS = 1;
/** A thread that has not told of the circuit for so long leaves that to another. */
const TELLER_TIMEOUT_MS = 60_000;

export class Circuit {
  readonly #options: CircuitOptions;
  readonly #context: CircuitContext;
  readonly #cell: CircuitCell;
  readonly #standing: Standing;
  readonly #window: RollingWindow;
  readonly #probes: Probes;
  readonly #recovery: Recovery;

  constructor(options: CircuitOptions, context: CircuitContext, cell: CircuitCell) {
    this.#options = options;
    this.#context = context;
    this.#cell = cell;
    this.#standing = new Standing(cell, context);
    this.#window = new RollingWindow(options.withinMs, cell);
    this.#probes = new Probes(options.halfOpen, cell);
    this.#recovery = new Recovery(options, cell);
  }

  get state(): CircuitState {
    return stateOf(this.#standing.look(this.#now()));
  }

  /** It could be replaced by a new one. */
  get isIdle(): boolean {
    return isFree(this.#standing.look(this.#now()));
  }

  /** Share of requests that may pass: 0 while open, 1 while closed and recovered. */
  get share(): number {
    const now = this.#now();
    const word = this.#standing.look(now);
    if (stateOf(word) !== "closed") return 0;
    return isForced(word) || phaseOf(word) === CLOSED ? 1 : this.#recovery.share(now);
  }

  /** A ticket to give back to {@link settle}, or 0 when the request must not pass. */
  admit(): number {
    const now = this.#now();
    const word = this.#standing.look(now);
    return isFree(word) ? ticketOf(word) : this.#admitSome(word, now);
  }

  /**
   * What became of a request that was let in.
   * @param now monotonic milliseconds
   */
  settle(ticket: number, outcome: Outcome, now: number): void {
    const word = this.#standing.look(now);
    if (ticketOf(word) !== ticket) return;
    if (isProbing(word)) return this.#settleProbe(word, outcome, now);
    if (outcome === "ignored") return;
    const isFailure = outcome === "failure";
    const isSlow = outcome === "slow";
    this.#window.add(ticket, now, isFailure, isSlow);
    if (isForced(word)) return;
    const reason = this.#findReason();
    if (reason !== undefined) this.#open(word, now, reason);
    else if (phaseOf(word) === RECOVERING) this.#settleRecovery(word, now, isFailure, isSlow);
  }

  /** Seconds after which somebody who may not pass should come back. */
  get retryAfter(): number {
    const now = this.#now();
    const word = this.#standing.look(now);
    if (forcedOf(word) === "open") return retryAfterSeconds(this.#options.openForMs);
    return stateOf(word) === "open" ? retryAfterSeconds(this.#standing.openUntil - now) : SOON_SECONDS;
  }

  /** Keeps it open or closed until further notice, or lets it go on by itself. */
  force(force: Force | undefined): void {
    for (;;) {
      const now = this.#now();
      const word = this.#standing.look(now);
      const before = forcedOf(word);
      if (before === force) return;
      const phase = phaseOf(word);
      // Whoever kept everything away did so for a reason: not all at once.
      const recovers = before === "open" && force === undefined && (phase === CLOSED || phase === RECOVERING);
      const next = recovers ? this.#beginRecovery(word, now) : nextWord(word, phase, force, openedOf(word));
      if (this.#standing.move(word, next, now, { name: "letGo" })) return;
    }
  }

  /** As new: closed, nothing counted. What an operator forced stays. */
  reset(): void {
    for (;;) {
      const now = this.#now();
      const word = this.#standing.look(now);
      const next = nextWord(word, CLOSED, forcedOf(word), 0);
      if (this.#standing.move(word, next, now, { name: "reset" })) return;
    }
  }

  /** Whether this thread is the one that counts it in metrics: of all that have it, one is. */
  get isTold(): boolean {
    const now = this.#now();
    this.#standing.look(now);
    const { words, at, doubles, doublesAt } = this.#cell;
    const own = this.#context.thread + 1;
    const teller = Atomics.load(words, at + TELLER);
    const toldAt = doubles[doublesAt + TOLD_AT]!;
    if (teller !== own && teller !== 0 && now - toldAt < TELLER_TIMEOUT_MS) return false;
    doubles[doublesAt + TOLD_AT] = now;
    return Atomics.compareExchange(words, at + TELLER, teller, own) === teller;
  }

  describe(): object {
    const now = this.#now();
    const word = this.#standing.look(now);
    const state = stateOf(word);
    const ticket = ticketOf(word);
    const isByItself = !isForced(word);
    this.#window.look(ticket, now);
    const { requests, failures, slow, failuresInARow } = this.#window;
    const rate = (count: number): number => (requests === 0 ? 0 : round(count / requests));
    const { started, passed } = this.#probes.look(ticket);
    return {
      state,
      reason: this.#standing.reasonOf(word),
      since: new Date(this.#standing.since).toISOString(),
      forced: forcedOf(word) ?? null,
      ...(state === "open" && isByItself
        ? { halfOpenInMs: Math.max(0, Math.round(this.#standing.openUntil - now)) }
        : {}),
      ...(state === "half-open" ? { probes: { allowed: this.#options.halfOpen, started, passed } } : {}),
      ...(phaseOf(word) === RECOVERING && isByItself
        ? { recovery: { share: round(this.#recovery.share(now)), health: round(this.#recovery.health) } }
        : {}),
      requests,
      failures,
      slowCalls: slow,
      errorRate: rate(failures),
      slowCallRate: rate(slow),
      consecutiveFailures: failuresInARow,
    };
  }

  /** Ends it on this thread: no timer runs any more. */
  close(): void {
    this.#standing.close();
    const { words, at, locateAt } = this.#cell;
    if (this.#now() < locateAt) Atomics.compareExchange(words, at + TELLER, this.#context.thread + 1, 0);
  }

  #now(): number {
    return this.#context.clock.monotonic();
  }

  #admitSome(word: number, now: number): number {
    const ticket = ticketOf(word);
    if (isForced(word)) return forcedOf(word) === "closed" ? ticket : 0;
    if (phaseOf(word) === OPEN) return 0;
    if (phaseOf(word) === HALF_OPEN) return this.#probes.start(ticket, now) ? ticket : 0;
    const share = this.#recovery.share(now);
    if (this.#recovery.isOver) this.#endRecovery(word, now);
    return this.#context.random() < share ? ticket : 0;
  }

  #settleProbe(word: number, outcome: Outcome, now: number): void {
    const ticket = ticketOf(word);
    if (outcome === "ignored") this.#probes.giveBack(ticket);
    else if (outcome === "failure") this.#open(word, now, { name: "probeFailed" });
    else if (outcome === "slow") this.#open(word, now, { name: "probeSlow" });
    else if (this.#probes.pass(ticket)) {
      this.#standing.move(word, this.#beginRecovery(word, now), now, { name: "probesPassed" });
    }
  }

  #settleRecovery(word: number, now: number, isFailure: boolean, isSlow: boolean): void {
    this.#recovery.observe(now, isFailure, isSlow);
    if (this.#recovery.health === 0) {
      this.#open(word, now, { name: isSlow ? "recoverySlow" : "recoveryFailed" });
    } else if (this.#recovery.isOver) this.#endRecovery(word, now);
  }

  /** Why it must open by what the window has, if it must. */
  #findReason(): Reason | undefined {
    const { consecutiveFailures, minRequests, errorRate, slowCallRate } = this.#options;
    const { requests, failures, slow, failuresInARow } = this.#window;
    if (failuresInARow >= consecutiveFailures) return { name: "failuresInARow", count: failuresInARow };
    if (requests < minRequests) return undefined;
    if (failures / requests >= errorRate) return { name: "failures", count: failures, of: requests };
    if (slow / requests >= slowCallRate) return { name: "slowCalls", count: slow, of: requests };
    return undefined;
  }

  #open(word: number, now: number, reason: Reason): void {
    const { openForMs, maxOpenForMs } = this.#options;
    // When another thread has ended the recovery meanwhile, that is no other state.
    for (let from = word; ticketOf(from) === ticketOf(word); from = this.#standing.look(now)) {
      const opened = openedOf(from);
      const ms = Math.max(openForMs, Math.min(openForMs * 2 ** opened, maxOpenForMs));
      if (this.#standing.move(from, nextWord(from, OPEN, undefined, opened + 1), now, reason, now + ms))
        return;
    }
  }

  /** The state in which requests are let in little by little. */
  #beginRecovery(word: number, now: number): number {
    if (this.#options.recoveryMs === 0) return nextWord(word, CLOSED, undefined, 0);
    this.#recovery.begin(now);
    return nextWord(word, RECOVERING, undefined, openedOf(word));
  }

  #endRecovery(word: number, now: number): void {
    const { words, at } = this.#cell;
    const recovered = recoveredWord(word);
    if (Atomics.compareExchange(words, at + STATE, word, recovered) !== word) return;
    this.#standing.look(now);
    this.#context.onRecovered();
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
