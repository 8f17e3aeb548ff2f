import { describe, expect, it } from "vitest";
import { splitList } from "../../../plugins/cache/lists.ts";
import { cpuMsOf } from "../../support/cpu-time.ts";

describe("a list in a field", () => {
  it("is split at commas, but not at those in quoted strings that are closed", () => {
    expect(splitList(' a, "b,c" ,, d="e\\",f"')).toEqual(["a", '"b,c"', 'd="e\\",f"']);
    expect(splitList('a, "b, \\"c, d')).toEqual(["a", '"b', '\\"c', "d"]);
  });

  it("takes time for its length only, however many quotes are not closed", () => {
    const cpuMs = cpuMsOf(() => void splitList(`"${'\\"'.repeat(60_000)}`));
    expect(cpuMs).toBeLessThan(1000); // seconds, if each were looked for
  });
});
