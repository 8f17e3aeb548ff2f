/** Judges what became of calls: whether it tells about who was asked, and what. */
import { BytesBody, type Clock, ConfigError, type Exchange, GatewayError } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import type { Outcome } from "./circuit.ts";

/** Begin of a call whose time says nothing. */
const UNTIMED = Number.POSITIVE_INFINITY;

export class Judge {
  readonly clock: Clock;
  /** By status: 1 for a failure. */
  readonly #failures: Uint8Array;
  readonly #slowCallMs: number;

  /** @param slowCallMs longest time of a call that is not slow; Infinity when none is */
  constructor(failures: Uint8Array, slowCallMs: number, clock: Clock) {
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

/** True for failures of who was asked: not of the client, not of the gateway, and not of finding somebody to ask. */
export function isUpstreamFailure(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return false;
  const { code } = error;
  return (
    code.startsWith("UPSTREAM_") && !code.startsWith("UPSTREAM_BODY_") && code !== "UPSTREAM_UNAVAILABLE"
  );
}

function isGivenUp(error: unknown): boolean {
  return (
    error instanceof GatewayError && (error.code === "CLIENT_CLOSED" || error.code === "DEADLINE_EXCEEDED")
  );
}

/**
 * Compiles statuses and ranges such as `500-599` to a table.
 * @throws ConfigError at `/statuses`
 */
export function compileStatuses(list: readonly (number | string)[]): Uint8Array {
  const table = new Uint8Array(1000);
  for (const [i, entry] of list.entries()) {
    const [from = 0, to = from] = String(entry).split("-").map(Number);
    if (from > to) {
      throw new ConfigError(
        `The range ${entry} ends before it begins`,
        childPointer("/statuses", i),
        "CONFIG_VALUE",
      );
    }
    table.fill(1, from, to + 1);
  }
  return table;
}
