import { describe, expect, it } from "vitest";
import { Ladder } from "../../../core/script/ladder.ts";

const times = (count: number, run: () => void): void => {
  for (let i = 0; i < count; i++) run();
};

describe("a script that times out", () => {
  it("is demoted the first time, and quarantined the fourth", () => {
    const ladder = new Ladder();
    expect(ladder.onFault()).toBe(false);
    expect(ladder.isDemoted).toBe(true);
    expect([ladder.onFault(), ladder.onFault(), ladder.onFault()]).toEqual([false, false, true]);
  });

  it("is promoted after 200 calls in a row that went well", () => {
    const ladder = new Ladder();
    ladder.onFault();
    times(199, () => ladder.onClean());
    expect(ladder.isDemoted).toBe(true);
    ladder.onClean();
    expect(ladder.isDemoted).toBe(false);
    ladder.onFault();
    times(3, () => ladder.onFault());
    expect(ladder.isDemoted).toBe(true);
  });

  it("begins to count anew when it times out in between", () => {
    const ladder = new Ladder();
    ladder.onFault();
    times(199, () => ladder.onClean());
    ladder.onFault();
    times(199, () => ladder.onClean());
    expect(ladder.isDemoted).toBe(true);
  });
});
