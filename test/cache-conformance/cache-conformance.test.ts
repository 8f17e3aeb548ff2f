import { describe, expect, it } from "vitest";
import { runConformance } from "./conformance.ts";
import { readKnown, regressions, scoreOf, summarize } from "./score.ts";
import { tests } from "./suites.ts";

describe("the public tests for HTTP caches", () => {
  it("pass as far as they did before", async () => {
    const results = await runConformance();
    const short = summarize(results);
    expect(regressions(results).map((id) => `${id}: ${short[id]}`)).toEqual([]);
    const { required, optimal } = scoreOf(results);
    expect(required.passed / required.all).toBeGreaterThanOrEqual(0.95);
    expect(optimal.passed / optimal.all).toBeGreaterThanOrEqual(0.8);
  });

  it("are all in the list of what is known", () => {
    expect(Object.keys(readKnown()).sort()).toEqual([...tests.keys()].sort());
  });
});
