/** What results of `http-cache-tests` amount to. */
import { readFileSync } from "node:fs";
import type { Results } from "http-cache-tests/client/runner.mjs";
import { type CacheTest, tests } from "./suites.ts";

export type { Results };

/** Required by the RFCs; what a good cache does; and what is only asked about. */
export const KINDS = ["required", "optimal", "check"] as const;
export type Kind = (typeof KINDS)[number];

/** How often each kind was passed, and how many there are. */
export type Score = Readonly<Record<Kind, { passed: number; all: number }>>;

export const kindOf = (test: CacheTest): Kind => test.kind ?? "required";

/** Counts what passed. */
export function scoreOf(results: Results): Score {
  const score = {
    required: { passed: 0, all: 0 },
    optimal: { passed: 0, all: 0 },
    check: { passed: 0, all: 0 },
  };
  for (const test of tests.values()) {
    const count = score[kindOf(test)];
    count.all++;
    if (results[test.id] === true) count.passed++;
  }
  return score;
}

/** Whether all that a test builds on passed. Without that its result says nothing, by the rules of the package. */
export function isJudged(id: string, results: Results): boolean {
  const needed = tests.get(id)?.depends_on ?? [];
  return needed.every((each) => results[each] === true && isJudged(each, results));
}

/** Tests that could not be done, because their own first steps did not work. */
export function setupFailures(results: Results): string[] {
  return Object.keys(results).filter((id) => {
    const result = results[id]!;
    return result !== true && result[0] !== "Assertion" && isJudged(id, results);
  });
}

/** The list of what passes, kept in the repository. */
const KNOWN = new URL("known-results.json", import.meta.url).pathname;

/** In short: passed, or what was wrong. */
export function summarize(results: Results): Record<string, string> {
  const ids = Object.keys(results).sort();
  return Object.fromEntries(
    ids.map((id) => {
      const result = results[id]!;
      return [id, result === true ? "pass" : `${result[0]}: ${result[1]}`];
    }),
  );
}

export function readKnown(): Record<string, string> {
  return JSON.parse(readFileSync(KNOWN, "utf8")) as Record<string, string>;
}

export { KNOWN };

/** Tests that have passed before and do not now. Mere questions may be answered in another way each time. */
export function regressions(results: Results): string[] {
  const known = readKnown();
  const matters = (id: string): boolean => tests.has(id) && kindOf(tests.get(id)!) !== "check";
  return Object.keys(known).filter((id) => matters(id) && known[id] === "pass" && results[id] !== true);
}
