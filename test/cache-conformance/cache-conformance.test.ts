import { describe, expect, it } from "vitest";
import { runConformance } from "./conformance.ts";
import { isJudged, readKnown, regressions, scoreOf, setupFailures, summarize } from "./score.ts";
import { tests } from "./suites.ts";

/** They want what is not to be: see docs/decisions/022-cache-conformance.md. */
const NOT_SET_UP = ["head-410-update", "headers-store-Transfer-Encoding"];

describe("the public tests for HTTP caches", () => {
  it("pass as far as they did before", async () => {
    const results = await runConformance();
    const short = summarize(results);
    expect(regressions(results).map((id) => `${id}: ${short[id]}`)).toEqual([]);
    expect(setupFailures(results).filter((id) => !NOT_SET_UP.includes(id))).toEqual([]);
    const { required, optimal } = scoreOf(results);
    expect(required.passed / required.all).toBeGreaterThanOrEqual(0.95);
    expect(optimal.passed / optimal.all).toBeGreaterThanOrEqual(0.8);
  });

  it("say nothing when what they build on fails", () => {
    const failed = ["Assertion", "no"] as const;
    const results = { "stale-close": failed, "stale-close-no-cache": failed, "method-POST": failed };
    expect(Object.keys(results).map((id) => isJudged(id, results))).toEqual([true, false, true]);
    expect(setupFailures({ "stale-close": failed, "stale-warning-become": ["Setup", "no"] })).toEqual([]);
    expect(setupFailures({ "head-writethrough": ["Setup", "no"] })).toEqual(["head-writethrough"]);
  });

  it("are all in the list of what is known", () => {
    expect(Object.keys(readKnown()).sort()).toEqual([...tests.keys()].sort());
  });
});
