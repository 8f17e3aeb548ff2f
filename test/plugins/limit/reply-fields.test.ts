import { parseRateLimit } from "ratelimit-header-parser";
import { describe, expect, it } from "vitest";
import { HeaderList } from "../../../core/plugin.ts";
import type { Decision } from "../../../plugins/limit/limiter.ts";
import { compilePlans } from "../../../plugins/limit/plans.ts";
import { ReplyFields } from "../../../plugins/limit/reply-fields.ts";
import { headerList } from "../../support/harness.ts";
import { decision, limitOptions } from "../../support/limits.ts";

const BOTH = ["ratelimit", "x-ratelimit"];

function fieldsOf(options: object, prefix = ""): ReplyFields {
  const checked = limitOptions(options);
  return new ReplyFields(compilePlans(checked, []).base, prefix, checked.headers);
}

function add(options: object, parts: Partial<Decision> = {}, headers = new HeaderList(), charged = 0) {
  fieldsOf(options).addTo(headers, decision(parts), charged, false);
  return headers;
}

const parsed = (headers: HeaderList) => {
  const joined = new Headers();
  for (let i = 0; i < headers.raw.length; i += 2) joined.append(headers.raw[i]!, headers.raw[i + 1]!);
  return parseRateLimit(joined);
};

describe("RateLimit and RateLimit-Policy", () => {
  it("tell what is left of the rule that decided, and all rules", () => {
    const rules = [
      { rate: "10/1s", burst: 20 },
      { name: "daily", rate: "5000/1d", algorithm: "fixed-window" },
    ];
    const headers = add({ rules }, { rule: 1, remaining: 4321, resetMs: 3_599_001 });
    expect(headers.raw).toEqual([
      "ratelimit",
      '"daily";r=4321;t=3600;limit=5000;remaining=4321;reset=3600',
      "ratelimit-policy",
      '"1s";q=10;w=1;burst=20, "daily";q=5000;w=86400',
    ]);
  });

  it("say nothing of a window that is not of whole seconds", () => {
    expect(add({ rate: "5/500ms" }).get("ratelimit-policy")).toBe('"500ms";q=5');
  });

  it("stand beside those of the upstream and of other stages", () => {
    const upstream = headerList({ RateLimit: '"theirs";r=1;t=5', "RateLimit-Policy": '"theirs";q=5' });
    const headers = add({ rate: "10/1s" }, {}, upstream);
    expect(headers.getJoined("ratelimit")).toMatch(/^"theirs";r=1;t=5, "1s";r=9;t=1;/);
    expect(headers.getJoined("ratelimit-policy")).toBe('"theirs";q=5, "1s";q=10;w=1');
  });

  it("are one line each where lines replace others", () => {
    const headers = new HeaderList();
    for (const prefix of ["", "per-ip:"]) {
      fieldsOf({ rate: "10/1s" }, prefix).addTo(headers, decision(), 0, true);
    }
    expect(headers.getAll("ratelimit-policy")).toEqual(['"1s";q=10;w=1, "per-ip:1s";q=10;w=1']);
    expect(headers.getAll("ratelimit")).toHaveLength(1);
  });

  it("tell of a ban as of nothing left until its end", () => {
    const headers = add({ rate: "10/1s" }, { outcome: "banned", remaining: 5, retryAfterMs: 59_100 });
    expect(headers.get("ratelimit")).toMatch(/^"1s";r=0;t=60;/);
  });

  it("reckon with what was charged since, between nothing and all", () => {
    const left = (charged: number) =>
      /r=(\d+)/.exec(
        add({ rate: "10/1s" }, { remaining: 8 }, new HeaderList(), charged).get("ratelimit")!,
      )![1];
    expect([left(3), left(50), left(-1), left(-50)]).toEqual(["5", "0", "9", "10"]);
  });
});

describe("X-RateLimit-*", () => {
  const options = { rate: "10/1s", headers: ["x-ratelimit"] };

  it("tell the most that there can be, what is left, and the seconds until all is", () => {
    expect(add({ ...options, burst: 30 }, { resetMs: 1500 }).raw).toEqual([
      ...["x-ratelimit-limit", "30", "x-ratelimit-remaining", "9", "x-ratelimit-reset", "2"],
    ]);
  });

  it("are of whoever leaves least", () => {
    const theirs = (remaining: string) =>
      headerList({ "X-RateLimit-Limit": "7", "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": "1" });
    const limit = (remaining: string) => add(options, {}, theirs(remaining)).getAll("x-ratelimit-limit");
    expect([limit("8"), limit("9"), limit("10"), limit("?")]).toEqual([["7"], ["7"], ["10"], ["10"]]);
  });
});

it("says nothing with no headers", () => {
  expect(add({ rate: "10/1s", headers: [] }).raw).toEqual([]);
});

describe("the package ratelimit-header-parser", () => {
  it.each([["ratelimit"], ["x-ratelimit"], BOTH])("reads %j", (...headers) => {
    const before = Date.now();
    const info = parsed(add({ rate: "10/1s", headers: headers.flat() }, { remaining: 4, resetMs: 61_000 }))!;
    expect(info).toMatchObject({ limit: 10, remaining: 4, used: 6 });
    const resetMs = info.reset!.getTime() - before;
    expect(resetMs).toBeGreaterThanOrEqual(60_900);
    expect(resetMs).toBeLessThan(120_000);
  });

  it("reads those of a hybrid", () => {
    const headers = add({ algorithm: "hybrid", rate: "100/1m", burst: 20 }, { remaining: 15 });
    expect(parsed(headers)).toMatchObject({ limit: 20, remaining: 15 });
  });
});
