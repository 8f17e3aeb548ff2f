import fc from "fast-check";
import { expect, it } from "vitest";
import { PathTemplate } from "../../../plugins/validate/path-template.ts";
import { cpuMsOf } from "../../support/cpu-time.ts";

const match = (template: string, path: string) => new PathTemplate(template).match(path);

it.each([
  ["/a", "/a", []],
  ["/a", "/a/", undefined],
  ["/a/", "/a", undefined],
  ["/a/{b}", "/a/1", ["1"]],
  ["/a/{b}", "/a/", undefined],
  ["/a/{b}", "/a/1/2", undefined],
  ["/{a}.{b}", "/x.y.z", ["x.y", "z"]],
  ["/{a}.{b}", "/x.", undefined],
  ["/{a}{b}", "/xyz", ["xy", "z"]],
  ["/{a}{b}", "/x", undefined],
  ["/v{a}v", "/v", undefined],
  ["/v{a}v", "/vv", undefined],
  ["/v{a}v/{b}", "/vvv/1", ["v", "1"]],
])("%s on %s gives %j", (template, path, expected) => {
  expect(match(template, path)).toEqual(expected);
});

it("has names", () => {
  expect(new PathTemplate("/{a}.{b-c}/d/{e}").names).toEqual(["a", "b-c", "e"]);
});

it("finds what a greedy expression finds", () => {
  const part = fc.constantFrom("{p}", "{q}", "a", "b", "-", "aa", "/");
  const template = fc.array(part, { maxLength: 8 }).map((parts) => `/${parts.join("")}`);
  const path = fc.string({ unit: fc.constantFrom("a", "b", "-", "/"), maxLength: 10 }).map((p) => `/${p}`);
  const property = fc.property(template, path, (written, asked) => {
    const regex = new RegExp(`^${written.replaceAll(/\{.\}/g, "([^/]+)")}$`);
    expect(match(written, asked)).toEqual(regex.exec(asked)?.slice(1));
  });
  fc.assert(property, { numRuns: 5000 });
});

it("takes no time for what can be divided in many ways", () => {
  const dashes = "-".repeat(30_000);
  const cpuMs = cpuMsOf(() => {
    expect(match("/{a}-{b}-{c}-{d}", `/${dashes}/x`)).toBeUndefined();
    expect(match("/{a}-{b}-{c}-{d}x", `/${dashes}`)).toBeUndefined();
    expect(match("/{a}-{b}-{c}-{d}/x", `/${dashes}/y`)).toBeUndefined();
    expect(match("/{a}-{b}-{c}-{d}", `/${dashes}`)).toHaveLength(4);
  });
  expect(cpuMs).toBeLessThan(500);
});
