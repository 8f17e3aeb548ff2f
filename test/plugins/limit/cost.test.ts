import { describe, expect, it } from "vitest";
import { GatewayError, type Problem } from "../../../core/plugin.ts";
import { Charge, compileCost } from "../../../plugins/limit/cost.ts";
import { exchange, headerList } from "../../support/harness.ts";
import { limitOptions } from "../../support/limits.ts";

function costOf(cost: unknown): (value?: string) => number {
  const compiled = compileCost(limitOptions({ rate: "1/1s", cost }).cost, []);
  return (value) => compiled(exchange({ headers: value === undefined ? {} : { "X-Cost": value } }));
}

function charge(option: object): Charge {
  const problems: Problem[] = [];
  const compiled = new Charge(limitOptions({ rate: "1/1s", charge: option }).charge!, problems);
  if (problems.length > 0) throw new Error(problems.map((p) => `${p.code} ${p.pointer}`).join());
  return compiled;
}

describe("the cost of a request", () => {
  it("is a constant", () => {
    expect(costOf(5)()).toBe(5);
  });

  it("is what a header says, `default` without it, and `max` for all that cannot be", () => {
    const of = costOf({ header: "x-cost", default: 2, max: 10 });
    const values = [undefined, "0", "3", "10", "11", "99999999999999999999", "-1", "1.5", "1e1", "", "a"];
    expect(values.map(of)).toEqual([2, 0, 3, 10, 10, 10, 10, 10, 10, 10, 10]);
  });

  it("cannot be in what is no header, or frames the message", () => {
    const problems: Problem[] = [];
    compileCost(limitOptions({ rate: "1/1s", cost: { header: "x cost" } }).cost, problems);
    compileCost(limitOptions({ rate: "1/1s", cost: { header: "content-length" } }).cost, problems);
    expect(problems.map(({ pointer }) => pointer)).toEqual(["/cost/header", "/cost/header"]);
  });
});

describe("what is charged in the end", () => {
  it("is what the reply's header says, which is taken off", () => {
    const told = charge({ header: "X-Cost", max: 50 });
    const of = (value: string | undefined): number | undefined => {
      const headers = headerList(value === undefined ? {} : { "x-cost": value });
      const cost = told.ofReply(200, headers);
      expect(headers.has("x-cost")).toBe(false);
      return cost;
    };
    expect([of("7"), of("0"), of("51"), of("many"), of("-3"), of(undefined)]).toEqual([
      7,
      0,
      50,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("is `cost` for replies of some statuses, whatever the header says", () => {
    const some = charge({ header: "x-cost", statuses: [404, "500-599"], cost: 0 });
    const headers = headerList({ "x-cost": "9" });
    expect(some.ofReply(503, headers)).toBe(0);
    expect(headers.has("x-cost")).toBe(false);
    expect(some.ofReply(404, headerList())).toBe(0);
    expect(some.ofReply(200, headerList())).toBeUndefined();
  });

  it("knows failures by the status that the client sees", () => {
    const some = charge({ statuses: [499, 502], cost: 0 });
    expect(some.ofFailure(new GatewayError("UPSTREAM_RESET"))).toBe(0);
    expect(some.ofFailure(new GatewayError("CLIENT_CLOSED"))).toBe(0);
    expect(some.ofFailure(new Error("a bug"))).toBeUndefined();
    expect(charge({ statuses: [500], cost: 3 }).ofFailure(new Error("a bug"))).toBe(3);
  });

  it("must be said by something", () => {
    expect(() => charge({ cost: 5 })).toThrow(/CONFIG_VALUE \/charge$/);
    expect(() => charge({ header: "x-cost", cost: 5 })).toThrow("CONFIG_VALUE /charge/cost");
    expect(() => charge({ statuses: ["599-500"] })).toThrow("CONFIG_VALUE /charge/statuses/0");
    expect(() => charge({ header: "transfer-encoding" })).toThrow("/charge/header");
  });
});
