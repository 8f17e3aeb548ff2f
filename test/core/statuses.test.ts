import { describe, expect, it } from "vitest";
import { compileStatuses } from "../../core/statuses.ts";

describe("a list of statuses", () => {
  it("has what it says and nothing else", () => {
    const table = compileStatuses([204, "300-302", "500-500"], "", []);
    const all = [...table.entries()].flatMap(([status, isIn]) => (isIn === 1 ? [status] : []));
    expect(all).toEqual([204, 300, 301, 302, 500]);
    expect(table[1_000_000]).toBeUndefined();
  });

  it("says what a range may have been meant to be", () => {
    const problems: { suggestion?: string }[] = [];
    compileStatuses(["299-200"], "/x", problems as never);
    expect(problems).toMatchObject([{ pointer: "/x/0", suggestion: "200-299" }]);
  });
});
