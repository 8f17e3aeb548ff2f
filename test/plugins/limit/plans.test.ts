import { describe, expect, it } from "vitest";
import type { Problem } from "../../../core/plugin.ts";
import { compilePlans, type Plans, tierOf } from "../../../plugins/limit/plans.ts";
import { limitOptions } from "../../support/limits.ts";

function compile(options: object): { plans: Plans; problems: string[] } {
  const problems: Problem[] = [];
  const plans = compilePlans(limitOptions(options), problems);
  return { plans, problems: problems.map(({ code, pointer }) => `${code} ${pointer}`) };
}

describe("plans", () => {
  it("have one rule for a rate: a bucket of as many units as the rate has", () => {
    expect(compile({ rate: "100/1m" })).toEqual({
      problems: [],
      plans: {
        base: {
          rules: [{ name: "1m", algorithm: "token-bucket", count: 100, windowMs: 60_000, burst: 100 }],
          ban: undefined,
          countRejected: false,
        },
        tiers: new Map(),
      },
    });
  });

  it("have several rules, each of its own algorithm or that of the stage", () => {
    const rules = [
      { rate: "10/1s", burst: 20 },
      { name: "daily", algorithm: "fixed-window", rate: "5000/1d" },
    ];
    const { plans, problems } = compile({
      algorithm: "hybrid",
      rules: [rules[1], { ...rules[0], burst: 5 }],
    });
    expect(problems).toEqual([]);
    expect(plans.base.rules).toEqual([
      { name: "daily", algorithm: "fixed-window", count: 5000, windowMs: 86_400_000, burst: 5000 },
      { name: "1s", algorithm: "hybrid", count: 10, windowMs: 1000, burst: 5 },
    ]);
  });

  it("are others for tiers, with the same ban", () => {
    const ban = { after: 5, within: "30s", for: "1.5m" };
    const { plans } = compile({
      rate: "1/1s",
      ban,
      countRejected: true,
      tiers: { gold: { rate: "9/1s", burst: 20 }, team: { rules: [{ rate: "5/1m" }] } },
    });
    const gold = plans.tiers.get("gold")!;
    expect(gold.rules).toMatchObject([{ count: 9, burst: 20 }]);
    expect([gold.ban, gold.countRejected]).toEqual([{ after: 5, withinMs: 30_000, forMs: 90_000 }, true]);
    expect(plans.tiers.get("team")!.rules).toMatchObject([{ name: "1m", count: 5 }]);
  });
});

describe("the tier of a consumer", () => {
  const tiers = new Map([
    ["team", 1],
    ["gold", 2],
    ["silver", 3],
  ]);
  const of = (roles: string[], tier?: string) =>
    tierOf({ name: "a", roles, ...(tier === undefined ? {} : { tier }) }, tiers);

  it("is its own before its roles, and of the roles the first that is listed", () => {
    expect(of(["team"], "gold")).toBe("gold");
    expect(of(["silver", "gold"])).toBe("gold");
    expect(of(["silver", "gold"], "bronze")).toBe("gold");
  });

  it("is none for those that no tier fits", () => {
    expect([of(["other"], "bronze"), of([]), tierOf(undefined, tiers)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

it.each([
  [{ algorithm: "fixed-window", rate: "1/1s", burst: 5 }, ["CONFIG_VALUE /burst"]],
  [{ rules: [{ algorithm: "sliding-window-log", rate: "1/1s", burst: 5 }] }, ["CONFIG_VALUE /rules/0/burst"]],
  [{ burst: 5, rules: [{ rate: "1/1s" }] }, ["CONFIG_VALUE /burst"]],
  [{ algorithm: "hybrid", rate: "5/1s", burst: 6 }, ["CONFIG_VALUE /burst"]],
  [{ rate: "1/1d", burst: 400 }, ["CONFIG_VALUE /burst"]],
  [{ rules: [{ rate: "1/1s" }, { rate: "2/1s" }] }, ["CONFIG_DUPLICATE_NAME /rules/1"]],
  [
    {
      rate: "1/1s",
      tiers: {
        a: {
          rules: [
            { name: "x", rate: "1/1s" },
            { name: "x", rate: "2/2s" },
          ],
        },
      },
    },
    ["CONFIG_DUPLICATE_NAME /tiers/a/rules/1"],
  ],
  [{ rate: "100003/1d" }, ["CONFIG_VALUE /rate"]],
  [{ rate: "99989/366d" }, ["CONFIG_VALUE /rate"]],
  [{ rate: "1/366d" }, []],
  [{ rate: "1000000000/1s" }, ["CONFIG_VALUE /rate"]],
  [{ rate: "100000000/1s" }, []],
  [{ rate: "2000000000/1d", algorithm: "fixed-window" }, ["CONFIG_VALUE /rate"]],
  [{ rate: "10001/1d", algorithm: "sliding-window-log" }, ["CONFIG_VALUE /rate"]],
  [{ rate: "10/21d", algorithm: "sliding-window-log" }, ["CONFIG_VALUE /rate"]],
  [{ rate: "10/367d" }, ["CONFIG_VALUE /rate"]],
  [{ rate: "1/1s", tiers: { "a/b": { rate: "100003/1d" } } }, ["CONFIG_VALUE /tiers/a~1b/rate"]],
  [
    { rate: "1/1s", ban: { after: 1, within: "0s", for: "25d" } },
    ["CONFIG_VALUE /ban/within", "CONFIG_VALUE /ban/for"],
  ],
  [{ rate: "10/1s", cost: 11 }, ["CONFIG_VALUE /cost"]],
  [{ rate: "10/1s", cost: { header: "x-cost", default: 11 } }, ["CONFIG_VALUE /cost/default"]],
  [{ rate: "10/1s", burst: 11, cost: 11 }, []],
  [{ rate: "10/1s", cost: { header: "x-cost" } }, []],
])("finds what cannot be in %j", (options, expected) => {
  expect(compile(options).problems).toEqual(expected);
});

it.each(["0/1s", "-1/1s", "1/0s", "1.5/1s", "1/1w", "1"])("refuses the rate %s", (rate) => {
  expect(() => compile({ rate })).toThrow("/rate");
});

it.each([
  { rate: "1/1s", burst: 0 },
  { rate: "1/1s", rules: [{ rate: "1/1s" }] },
  { rules: [] },
  {},
  { rate: "1/1s", by: "nobody" },
  { rate: "1/1s", by: [] },
  { rate: "1/1s", by: { color: "red" } },
  { rate: "1/1s", algorithm: "leaky" },
  { rate: "1/1s", cost: -1 },
])("refuses %j by its schema", (options) => {
  expect(() => compile(options)).toThrow();
});
