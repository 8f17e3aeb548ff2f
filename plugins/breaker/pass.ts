/**
 * One exchange on its way to a target: asks the circuit of the upstream or the target before the balancer does, and
 * hears what came of it. Attempts that a stage below repeats are told one by one.
 */
import { type Exchange, GatewayError, type Reply, type Target, type TargetGuard } from "../../core/plugin.ts";
import type { Entry } from "./circuits.ts";
import type { Judge } from "./outcomes.ts";

/** Finds the circuit that a target belongs to. */
export type CircuitOf = (target: Target) => Entry;

export class Pass implements TargetGuard {
  /** What balancers are told that found nobody else to ask. */
  rejection: GatewayError | undefined;
  readonly #circuitOf: CircuitOf;
  readonly #judge: Judge;
  #entry: Entry | undefined;
  #ticket = 0;
  #beganAt = 0;
  /** Circuits that did not let it pass: asked once, because of those that recover some are let in by chance. */
  #refusing: Entry[] | undefined;

  constructor(circuitOf: CircuitOf, judge: Judge) {
    this.rejection = undefined;
    this.#circuitOf = circuitOf;
    this.#judge = judge;
    this.#entry = undefined;
    this.#refusing = undefined;
  }

  admit(target: Target, x: Exchange): boolean {
    const entry = this.#circuitOf(target);
    if (this.#refusing?.includes(entry)) return false;
    const ticket = entry.circuit.admit();
    if (ticket === 0) {
      if (this.#refusing === undefined) this.#refusing = [entry];
      else this.#refusing.push(entry);
      return false;
    }
    this.#entry = entry;
    this.#ticket = ticket;
    this.#beganAt = this.#judge.begin(x);
    return true;
  }

  settle(_target: Target, _x: Exchange, reply: Reply | undefined, error: unknown): void {
    const judge = this.#judge;
    const now = judge.clock.monotonic();
    const outcome =
      reply === undefined
        ? judge.ofError(error, this.#beganAt, now)
        : judge.ofReply(reply.status, this.#beganAt, now);
    this.#entry!.circuit.settle(this.#ticket, outcome, now);
  }

  refusal(): GatewayError | undefined {
    const refusing = this.#refusing;
    if (refusing === undefined) return undefined;
    // The same one each time: a stage between may go on elsewhere and come back with an earlier one.
    this.rejection ??= rejectionOf(Math.min(...refusing.map(({ circuit }) => circuit.retryAfter)));
    return this.rejection;
  }

  /** The exchange did fail with the rejection: nobody went on elsewhere. */
  countRejection(): void {
    for (const { series } of this.#refusing!) series.rejected++;
  }
}

/** What a request fails with that must not pass. */
export function rejectionOf(retryAfter: number): GatewayError {
  return new GatewayError("CIRCUIT_OPEN", { headers: ["retry-after", String(retryAfter)] });
}
