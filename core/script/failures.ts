/** What clients and the log are told of a script that failed. */
import { type ErrorCode, GatewayError } from "../errors.ts";
import type { IsolateError, IsolateFault } from "./isolate.ts";
import type { ScriptBundle } from "./script.ts";
import type { StackTeller } from "./stack.ts";
import { parseThrown } from "./thrown.ts";

const CODES = {
  timeout: "SCRIPT_TIMEOUT",
  memory: "SCRIPT_MEMORY",
  output: "SCRIPT_OUTPUT",
  stuck: "SCRIPT_TIMEOUT",
  broken: "SCRIPT_THREW",
} as const satisfies Record<IsolateFault, ErrorCode>;
const WORDS: Partial<Record<IsolateFault, string>> = {
  timeout: "it ran for longer than limits.cpu",
  memory: "it took more memory than limits.memory",
};

/**
 * @param message what happened, for the log
 * @param stack in lines of the author's own files
 */
export function createFailure(
  bundle: ScriptBundle,
  code: ErrorCode,
  message: string,
  stack?: string,
): GatewayError {
  const cause = new Error(`script ${bundle.name}: ${message}`);
  cause.stack = stack ?? cause.message;
  return new GatewayError(code, { cause });
}

/** @param error why a call did not come back */
export function failureOf(bundle: ScriptBundle, { fault, message }: IsolateError): GatewayError {
  return createFailure(bundle, CODES[fault], WORDS[fault] ?? message);
}

/**
 * @param teller of the script's stacks
 * @param json what the guest says of what was thrown
 * @param hook 0 for the request, 1 for the response
 */
export function readThrown(
  bundle: ScriptBundle,
  teller: StackTeller,
  json: string,
  hook: number,
): GatewayError {
  const thrown = parseThrown(json);
  if (thrown === undefined) return createFailure(bundle, "SCRIPT_OUTPUT", "what it threw cannot be read");
  const { message, stack, kind } = thrown;
  if (kind === "body-json" && bundle.manifest.body[hook === 0 ? "request" : "response"] === "json") {
    return new GatewayError(hook === 0 ? "BODY_NOT_JSON" : "UPSTREAM_BODY_INVALID");
  }
  const { text: mapped } = teller.tell(stack);
  return createFailure(bundle, "SCRIPT_THREW", message, mapped === "" ? message : mapped);
}
