/** What is wrong with a request, as its client is told: where, and what is expected there. Never the value itself. */

export interface Failure {
  readonly in: "params" | "query" | "headers" | "cookies" | "body";
  /** JSON Pointer to the value. */
  readonly pointer: string;
  readonly message: string;
}

/** Most failures of one request that are told. */
export const MAX_FAILURES = 20;

/** Longest pointer that is told: keys are the client's. */
const MAX_POINTER = 200;

export function createFailure(part: Failure["in"], pointer: string, message: string): Failure {
  return { in: part, pointer: pointer.slice(0, MAX_POINTER), message };
}
