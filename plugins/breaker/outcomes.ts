/** Judges what became of calls: whether it tells about who was asked, and what. */
import { isUpstreamFailure } from "../../core/errors.ts";
import { BytesBody, type Clock, type Exchange, GatewayError } from "../../core/plugin.ts";
import type { StatusTable } from "../../core/statuses.ts";
import type { Outcome } from "./circuit.ts";

/** Begin of a call whose time says nothing. */
const UNTIMED = Number.POSITIVE_INFINITY;

export class Judge {
  readonly clock: Clock;
  readonly #failures: StatusTable;
  readonly #slowCallMs: number;

  /** @param slowCallMs longest time of a call that is not slow; Infinity when none is */
  constructor(failures: StatusTable, slowCallMs: number, clock: Clock) {
    this.#failures = failures;
    this.#slowCallMs = slowCallMs;
    this.clock = clock;
  }

  /** When a call begins, for the others. A body that streams is as slow as its client. */
  begin({ body }: Exchange): number {
    if (this.#slowCallMs === Number.POSITIVE_INFINITY) return UNTIMED;
    return body === null || body instanceof BytesBody ? this.clock.monotonic() : UNTIMED;
  }

  isFailure(status: number): boolean {
    return this.#failures[status] === 1;
  }

  ofReply(status: number, beganAt: number, now: number): Outcome {
    if (this.#failures[status] === 1) return "failure";
    return now - beganAt > this.#slowCallMs ? "slow" : "success";
  }

  /** Whoever did not wait for the reply any more did so for reasons of his own, but after a slow call it was slow. */
  ofError(error: unknown, beganAt: number, now: number): Outcome {
    if (isUpstreamFailure(error)) return "failure";
    return isGivenUp(error) && now - beganAt > this.#slowCallMs ? "slow" : "ignored";
  }
}

function isGivenUp(error: unknown): boolean {
  return (
    error instanceof GatewayError && (error.code === "CLIENT_CLOSED" || error.code === "DEADLINE_EXCEEDED")
  );
}
