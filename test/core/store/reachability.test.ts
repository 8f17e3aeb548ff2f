import { beforeEach, describe, expect, it } from "vitest";
import { Reachability } from "../../../core/store/reachability.ts";
import { FakeClock, FakeLog } from "../../support/harness.ts";

describe("what is known of whether a store can be reached", () => {
  let clock: FakeClock;
  let log: FakeLog;
  let reach: Reachability;
  beforeEach(() => {
    clock = new FakeClock();
    log = new FakeLog();
    reach = new Reachability("main", clock, log);
  });
  const messages = (): string[] => log.lines.map(({ level, message }) => `${level}: ${message}`);
  const DOWN = "error: a store cannot be reached: calls fail until it can";
  const BACK = "info: a store can be reached again";

  it("says nothing when all is well from the start", () => {
    reach.connected();
    reach.answered();
    expect(reach.isUp).toBe(true);
    expect(messages()).toEqual([]);
  });

  it("says once that a store is lost, and once that it is back", async () => {
    for (let i = 0; i < 3; i++) reach.lost("connect ECONNREFUSED");
    await reach.settled;
    expect(reach.isUp).toBe(false);
    expect(log.lines[0]!.fields).toEqual({ store: "main", reason: "connect ECONNREFUSED" });
    reach.connected();
    reach.connected();
    expect(messages()).toEqual([DOWN, BACK]);
  });

  it("is not told back by single answers while the connection goes on failing", () => {
    for (let i = 0; i < 100; i++) {
      reach.lost("the replies are out of order");
      clock.advance(10);
      reach.answered();
    }
    expect(messages()).toEqual([DOWN]);
    clock.advance(1000);
    reach.answered();
    expect(messages()).toEqual([DOWN, BACK]);
  });

  it("takes several failures in a row for a loss, and none that are apart", () => {
    reach.connected();
    for (let i = 0; i < 20; i++) {
      reach.failed("no answer");
      if (i % 4 === 3) reach.answered();
    }
    expect(messages()).toEqual([]);
    for (let i = 0; i < 5; i++) reach.failed("no answer");
    expect(reach.isUp).toBe(false);
    expect(messages()).toEqual([DOWN]);
  });

  it("calls a store well again after a second of answers alone", () => {
    reach.connected();
    for (let i = 0; i < 5; i++) reach.failed("no answer");
    clock.advance(999);
    reach.answered();
    reach.failed("no answer");
    clock.advance(999);
    reach.answered();
    expect(reach.isUp).toBe(false);
    clock.advance(1);
    reach.answered();
    expect(reach.isUp).toBe(true);
    expect(messages()).toEqual([DOWN, BACK]);
  });
});
