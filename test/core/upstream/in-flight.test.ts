import { describe, expect, it } from "vitest";
import { TargetStates } from "../../../core/upstream/target-states.ts";
import { FakeClock, FakeHost, FakeLog } from "../../support/harness.ts";

const states = (): TargetStates =>
  new TargetStates("users", new FakeLog(), new FakeClock(), new FakeHost().metrics);

describe("requests under way", () => {
  it("are counted for each target and for all together", () => {
    const all = states();
    const [a, b] = [all.acquire("http://a"), all.acquire("http://b")];
    a.startRequest();
    a.startRequest();
    b.startRequest();
    expect([a.inFlight, b.inFlight, all.inFlight]).toEqual([2, 1, 3]);
    a.endRequest();
    expect([a.inFlight, b.inFlight, all.inFlight]).toEqual([1, 1, 2]);
  });

  it("to a target that is gone count no more, also when they end", () => {
    const all = states();
    const [a, b] = [all.acquire("http://a"), all.acquire("http://b")];
    a.startRequest();
    b.startRequest();
    all.release(a);
    expect(all.inFlight).toBe(1);
    const again = all.acquire("http://a");
    a.endRequest();
    again.startRequest();
    expect([a.inFlight, again.inFlight, all.inFlight]).toEqual([0, 1, 2]);
  });
});
