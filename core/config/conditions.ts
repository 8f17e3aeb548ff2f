/** Checks the parts of `match` and `when` that a schema cannot: regular expressions and path patterns. */
import { pathPatternProblem } from "../path.ts";
import { asRecord, type Checking } from "./checking.ts";
import { childPointer } from "../pointer.ts";

/** Checks `{ regex }`. */
function checkRegex(checking: Checking, value: unknown, pointer: string): void {
  const { regex } = asRecord(value);
  if (typeof regex !== "string") return;
  try {
    new RegExp(regex);
  } catch (error) {
    const reason = (error as Error).message.split(": ").at(-1) ?? "";
    checking.report("CONFIG_REGEX", `This regular expression is not valid: ${reason}`, `${pointer}/regex`);
  }
}

function checkRegexes(checking: Checking, values: unknown, pointer: string): void {
  for (const [name, value] of Object.entries(asRecord(values))) {
    checkRegex(checking, value, childPointer(pointer, name));
  }
}

/** Checks a path: a pattern, a list of patterns, or `{ regex }`. */
function checkPath(checking: Checking, path: unknown, pointer: string): void {
  checkRegex(checking, path, pointer);
  const isList = Array.isArray(path);
  for (const [i, pattern] of (isList ? path : [path]).entries()) {
    if (typeof pattern !== "string" || !pattern.startsWith("/")) continue;
    const problem = pathPatternProblem(pattern);
    const at = isList ? childPointer(pointer, i) : pointer;
    // The problem may quote a part of the pattern.
    const message = checking.isHidden(at) ? "This path pattern is not valid" : problem;
    if (problem !== undefined) checking.report("CONFIG_PATTERN", message ?? problem, at);
  }
}

/** Checks a stage's `when`. */
export function checkCondition(checking: Checking, condition: unknown, pointer: string): void {
  const { path, header, query, not } = asRecord(condition);
  checkPath(checking, path, `${pointer}/path`);
  checkRegexes(checking, header, `${pointer}/header`);
  checkRegexes(checking, query, `${pointer}/query`);
  if (not !== undefined) checkCondition(checking, not, `${pointer}/not`);
}

/** Checks a route's `match`. */
export function checkMatch(checking: Checking, match: unknown, pointer: string): void {
  const { path, headers, query } = asRecord(match);
  checkPath(checking, path, `${pointer}/path`);
  checkRegexes(checking, headers, `${pointer}/headers`);
  checkRegexes(checking, query, `${pointer}/query`);
}
