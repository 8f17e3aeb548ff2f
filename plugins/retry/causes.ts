/** What makes an attempt worth repeating. */
import { type ErrorCode, GatewayError, type Problem } from "../../core/plugin.ts";
import { childPointer } from "../../core/pointer.ts";
import { addStatuses, createStatusTable } from "../../core/statuses.ts";

/** Failures by the name that options have for them. */
export const FAILURES = {
  connect: ["UPSTREAM_CONNECT_FAILED", "UPSTREAM_CONNECT_TIMEOUT", "UPSTREAM_TLS_FAILED"],
  reset: ["UPSTREAM_RESET"],
  timeout: ["UPSTREAM_TIMEOUT"],
  invalid: ["UPSTREAM_REPLY_INVALID"],
  unavailable: ["UPSTREAM_UNAVAILABLE"],
} as const satisfies Record<string, readonly ErrorCode[]>;

/** The causes of one stage, for looking up. */
export class Causes {
  readonly #codes = new Map<ErrorCode, string>();
  readonly #statuses = createStatusTable();

  /**
   * @param causes names of failures, statuses and ranges of statuses
   * @param pointer where they are
   * @param problems where what is wrong with them goes
   */
  constructor(causes: readonly (string | number)[], pointer: string, problems: Problem[]) {
    for (const [i, cause] of causes.entries()) {
      if (isFailure(cause)) for (const code of FAILURES[cause]) this.#codes.set(code, cause);
      else addStatuses(this.#statuses, cause, childPointer(pointer, i), problems);
    }
  }

  /** The cause that a reply's status is; undefined for a reply to pass on. */
  ofStatus(status: number): string | undefined {
    return this.#statuses[status] === 1 ? String(status) : undefined;
  }

  ofFailure(error: unknown): string | undefined {
    return error instanceof GatewayError ? this.#codes.get(error.code) : undefined;
  }
}

function isFailure(cause: string | number): cause is keyof typeof FAILURES {
  return Object.hasOwn(FAILURES, cause);
}
