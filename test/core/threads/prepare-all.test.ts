import { describe, expect, it } from "vitest";
import type { Prepared } from "../../../core/gateway.ts";
import { prepareAll } from "../../../core/threads/prepare-all.ts";

function prepared(name: string, trace: string[]): Prepared {
  return {
    urls: [],
    retired: Promise.resolve(),
    activate: () => void trace.push(`${name} activate`),
    discard: async () => void trace.push(`${name} discard`),
  };
}

describe("preparing on several threads", () => {
  it("gives what all have prepared", async () => {
    const trace: string[] = [];
    const all = [prepared("a", trace), prepared("b", trace)];
    expect(await prepareAll(all.map((one) => Promise.resolve(one)))).toEqual(all);
    expect(trace).toEqual([]);
  });

  it("discards on all when one fails, and fails with the first failure", async () => {
    const trace: string[] = [];
    const preparing = [
      Promise.resolve(prepared("a", trace)),
      Promise.reject(new Error("b cannot")),
      Promise.resolve(prepared("c", trace)),
      Promise.reject(new Error("d cannot")),
    ];
    await expect(prepareAll(preparing)).rejects.toThrow("b cannot");
    expect(trace).toEqual(["a discard", "c discard"]);
  });

  it("waits for slow threads before it discards", async () => {
    const trace: string[] = [];
    const slow = Promise.withResolvers<Prepared>();
    const all = prepareAll([Promise.reject(new Error("cannot")), slow.promise]).catch(
      (error: unknown) => error,
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect(trace).toEqual([]);
    slow.resolve(prepared("slow", trace));
    expect(await all).toEqual(new Error("cannot"));
    expect(trace).toEqual(["slow discard"]);
  });
});
