/**
 * One circuit: counts outcomes, decides when to open and when to trust again, and says who may pass. The states and
 * the time between open and half-open are opossum's ({@link Machine}), asked only when something changes.
 */
import type { Clock } from "../../core/plugin.ts";
import { retryAfterSeconds } from "../../core/retry-after.ts";
import { type CircuitState, Machine, type MachineListener } from "./machine.ts";
import { Recovery, type RecoveryOptions } from "./recovery.ts";
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

/** What an operator wants, whatever the outcomes say. */
export type Force = "open" | "closed";

/** What a circuit needs of the gateway, and whom it tells. */
export interface CircuitContext {
  readonly clock: Clock;
  random(): number;
  /** @param openForMs when it opened by itself */
  onTransition(to: CircuitState, reason: string, openForMs: number | undefined): void;
  /** All requests are let in again. */
  onRecovered(): void;
}

/** Retry-After while it is not known when requests are let in. */
const SOON_SECONDS = 1;

export class Circuit implements MachineListener {
  readonly #options: CircuitOptions;
  readonly #context: CircuitContext;
  readonly #window: RollingWindow;
  /** Made when it opens for the first time: most never do. */
  #machine: Machine | undefined;
  /** True when everybody may pass. */
  #isFree = true;
  /** Grows with each change of state, so that outcomes of an earlier one are known as such. */
  #ticket = 1;
  #failuresInARow = 0;
  /** Probes of this half-open state: let in, and gone well. */
  #probes = 0;
  #passed = 0;
  #recovery: Recovery | undefined;
  #forced: Force | undefined;
  #state: CircuitState = "closed";
  #reason = "";
  #changedAt: number;
  /** How often it opened since it was well. */
  #opened = 0;
  #halfOpenAt = 0;
  #isClosed = false;

  constructor(options: CircuitOptions, context: CircuitContext, forced: Force | undefined) {
    this.#options = options;
    this.#context = context;
    this.#window = new RollingWindow(options.withinMs);
    this.#changedAt = context.clock.now();
    if (forced !== undefined) this.force(forced);
  }

  get state(): CircuitState {
    return this.#state;
  }

  /** Why it is in this state; empty while it never changed. */
  get reason(): string {
    return this.#forced === undefined ? this.#reason : `forced ${this.#forced}`;
  }

  /** It could be replaced by a new one. */
  get isIdle(): boolean {
    return this.#isFree && this.#forced === undefined;
  }

  /** Share of requests that may pass: 0 while open, 1 while closed and recovered. */
  get share(): number {
    if (this.#isFree) return 1;
    if (this.#state !== "closed") return 0;
    return this.#recovery!.share(this.#context.clock.monotonic());
  }

  /** A ticket to give back to {@link settle}, or 0 when the request must not pass. */
  admit(): number {
    return this.#isFree ? this.#ticket : this.#admitSome();
  }

  /**
   * What became of a request that was let in.
   * @param now monotonic milliseconds
   */
  settle(ticket: number, outcome: Outcome, now: number): void {
    if (ticket !== this.#ticket) return;
    if (this.#state === "half-open") return this.#settleProbe(outcome);
    if (outcome === "ignored") return;
    const isFailure = outcome === "failure";
    this.#window.add(now, isFailure, outcome === "slow");
    this.#failuresInARow = isFailure ? this.#failuresInARow + 1 : 0;
    if (this.#forced !== undefined) return;
    const reason = this.#findReason();
    if (reason !== undefined) return this.#open(reason);
    if (this.#recovery !== undefined) this.#settleRecovery(now, isFailure, outcome === "slow");
  }

  /** Seconds after which somebody who may not pass should come back. */
  get retryAfter(): number {
    if (this.#forced === "open") return retryAfterSeconds(this.#options.openForMs);
    if (this.#state !== "open") return SOON_SECONDS;
    return retryAfterSeconds(this.#halfOpenAt - this.#context.clock.monotonic());
  }

  /** Keeps it open or closed until further notice, or lets it go on by itself. */
  force(force: Force | undefined): void {
    if (force === this.#forced) return;
    const before = this.#forced;
    this.#forced = force;
    this.#forget();
    // Whoever kept everything away did so for a reason: not all at once.
    if (before === "open" && force === undefined && this.#machineState === "closed") this.#recover();
    this.#update("no longer forced");
  }

  /** As new: closed, nothing counted. What an operator forced stays. */
  reset(): void {
    this.#forget();
    this.#opened = 0;
    this.#reason = "reset";
    this.#machine?.close();
    this.#recovery = undefined;
    this.#update("reset");
  }

  describe(): object {
    const { clock } = this.#context;
    const now = clock.monotonic();
    this.#window.forget(now);
    const { requests, failures, slow } = this.#window;
    const rate = (count: number): number => (requests === 0 ? 0 : round(count / requests));
    return {
      state: this.#state,
      reason: this.reason,
      since: new Date(this.#changedAt).toISOString(),
      forced: this.#forced ?? null,
      ...(this.#state === "open" && this.#forced === undefined
        ? { halfOpenInMs: Math.max(0, Math.round(this.#halfOpenAt - now)) }
        : {}),
      ...(this.#state === "half-open"
        ? { probes: { allowed: this.#options.halfOpen, started: this.#probes, passed: this.#passed } }
        : {}),
      ...(this.#recovery !== undefined && this.#forced === undefined
        ? { recovery: { share: round(this.share), health: round(this.#recovery.health) } }
        : {}),
      requests,
      failures,
      slowCalls: slow,
      errorRate: rate(failures),
      slowCallRate: rate(slow),
      consecutiveFailures: this.#failuresInARow,
    };
  }

  /** Ends it: no timer runs any more. */
  close(): void {
    this.#isClosed = true;
    this.#ticket++;
    this.#machine?.shutdown();
  }

  onOpen(): void {
    this.#recovery = undefined;
    this.#forget();
    this.#update(this.#reason, this.#halfOpenAt - this.#context.clock.monotonic());
  }

  onHalfOpen(): void {
    this.#forget();
    this.#update("openFor is over");
  }

  onClose(): void {
    this.#forget();
    this.#recover();
    this.#update(this.#reason);
  }

  get #machineState(): CircuitState {
    return this.#machine?.state ?? "closed";
  }

  #admitSome(): number {
    if (this.#state === "open") return 0;
    if (this.#state === "half-open") {
      if (this.#probes >= this.#options.halfOpen) return 0;
      this.#probes++;
      return this.#ticket;
    }
    const share = this.#recovery!.share(this.#context.clock.monotonic());
    if (this.#recovery!.isOver) this.#endRecovery();
    return this.#context.random() < share ? this.#ticket : 0;
  }

  #settleProbe(outcome: Outcome): void {
    if (outcome === "ignored") this.#probes--;
    else if (outcome !== "success") this.#open(outcome === "slow" ? "a probe was slow" : "a probe failed");
    else if (++this.#passed >= this.#options.halfOpen) {
      this.#reason = "the probes went well";
      this.#machine!.close();
    }
  }

  #settleRecovery(now: number, isFailure: boolean, isSlow: boolean): void {
    const recovery = this.#recovery!;
    recovery.observe(now, isFailure, isSlow);
    if (recovery.health === 0) this.#open(isSlow ? "slow calls during recovery" : "failures during recovery");
    else if (recovery.isOver) this.#endRecovery();
  }

  /** Why it must open, if it must. */
  #findReason(): string | undefined {
    const { consecutiveFailures, minRequests, errorRate, slowCallRate } = this.#options;
    if (this.#failuresInARow >= consecutiveFailures) return `${this.#failuresInARow} failures in a row`;
    const { requests, failures, slow } = this.#window;
    if (requests < minRequests) return undefined;
    if (failures / requests >= errorRate) return `${failures} of ${requests} requests failed`;
    if (slow / requests >= slowCallRate) return `${slow} of ${requests} calls were slow`;
    return undefined;
  }

  #open(reason: string): void {
    if (this.#isClosed) return;
    const { openForMs, maxOpenForMs } = this.#options;
    const ms = Math.max(openForMs, Math.min(openForMs * 2 ** this.#opened, maxOpenForMs));
    this.#opened++;
    this.#reason = reason;
    this.#halfOpenAt = this.#context.clock.monotonic() + ms;
    this.#machine ??= new Machine(this);
    this.#machine.open(ms);
  }

  #recover(): void {
    const { clock } = this.#context;
    if (this.#options.recoveryMs > 0) this.#recovery = new Recovery(this.#options, clock.monotonic());
    else this.#opened = 0;
  }

  #endRecovery(): void {
    this.#recovery = undefined;
    this.#opened = 0;
    this.#isFree = true;
    this.#context.onRecovered();
  }

  /** What was counted so far, or is under way, says nothing about what comes. */
  #forget(): void {
    this.#ticket++;
    this.#window.clear();
    this.#failuresInARow = 0;
    this.#probes = 0;
    this.#passed = 0;
  }

  /** Takes over the state that follows from the machine and from what is forced. */
  #update(reason: string, openForMs?: number): void {
    const before = this.#state;
    this.#reason = reason;
    this.#state = this.#forced ?? this.#machineState;
    this.#isFree = this.#state === "closed" && (this.#forced !== undefined || this.#recovery === undefined);
    if (this.#state === before) return;
    this.#changedAt = this.#context.clock.now();
    this.#context.onTransition(this.#state, this.reason, openForMs);
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
