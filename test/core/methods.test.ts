import { describe, expect, it } from "vitest";
import { compileMethods } from "../../core/methods.ts";

describe("a list of methods", () => {
  it("has HEAD where it has GET, and nothing else that it does not say", () => {
    expect([...compileMethods(["GET", "POST"])].sort()).toEqual(["GET", "HEAD", "POST"]);
    expect([...compileMethods(["POST"])]).toEqual(["POST"]);
    expect([...compileMethods(["HEAD"])]).toEqual(["HEAD"]);
  });
});
