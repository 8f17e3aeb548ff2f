import { describe, expect, it } from "vitest";
import type { TargetStates } from "../../../core/upstream/target-states.ts";
import { targetStates } from "./health/health-options.ts";

const states = (): TargetStates => targetStates().states;

describe("requests under way", () => {
  it("are counted for each target and for all together", () => {
    const all = states();
    const [a, b] = [all.acquire("http://a"), all.acquire("http://b")];
    a.startRequest();
    a.startRequest();
    b.startRequest();
    expect([a.inFlight, b.inFlight, all.shared.inFlight]).toEqual([2, 1, 3]);
    a.endRequest();
    expect([a.inFlight, b.inFlight, all.shared.inFlight]).toEqual([1, 1, 2]);
  });

  it("to a target that is gone count until they end", () => {
    const all = states();
    const [a, b] = [all.acquire("http://a"), all.acquire("http://b")];
    a.startRequest();
    b.startRequest();
    all.release(a);
    expect(all.acquire("http://a")).toBe(a);
    all.release(a);
    a.endRequest();
    all.prune();
    expect(all.acquire("http://a")).not.toBe(a);
    expect([a.inFlight, all.shared.inFlight]).toEqual([0, 1]);
  });
});
