/** What makes an attempt worth repeating. */
import { type ErrorCode, GatewayError } from "../../core/plugin.ts";

/** Failures by the name that options have for them. */
export const FAILURES = {
  connect: ["UPSTREAM_CONNECT_FAILED", "UPSTREAM_CONNECT_TIMEOUT", "UPSTREAM_TLS_FAILED"],
  reset: ["UPSTREAM_RESET"],
  timeout: ["UPSTREAM_TIMEOUT"],
  invalid: ["UPSTREAM_REPLY_INVALID"],
  unavailable: ["UPSTREAM_UNAVAILABLE"],
} as const satisfies Record<string, readonly ErrorCode[]>;

/** A failure's name, or a status. */
export type Cause = keyof typeof FAILURES | number;

/** The causes of one stage, for looking up. */
export class Causes {
  readonly #codes = new Map<ErrorCode, string>();
  readonly #statuses = new Map<number, string>();

  constructor(causes: readonly Cause[]) {
    for (const cause of causes) {
      if (typeof cause === "number") this.#statuses.set(cause, String(cause));
      else for (const code of FAILURES[cause]) this.#codes.set(code, cause);
    }
  }

  /** The cause that a reply's status is; undefined for a reply to pass on. */
  ofStatus(status: number): string | undefined {
    return status < 400 ? undefined : this.#statuses.get(status);
  }

  ofFailure(error: unknown): string | undefined {
    return error instanceof GatewayError ? this.#codes.get(error.code) : undefined;
  }
}
