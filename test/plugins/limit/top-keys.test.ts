import { beforeEach, describe, expect, it } from "vitest";
import { TOP_KEYS, TopKeys } from "../../../plugins/limit/top-keys.ts";
import { FakeClock } from "../../support/harness.ts";

const MINUTE_MS = 60_000;

let clock: FakeClock;
let top: TopKeys;

beforeEach(() => {
  clock = new FakeClock();
  top = new TopKeys(clock, 0.5);
});

describe("the keys that a stage meets most", () => {
  it("have all their refusals", () => {
    for (let i = 0; i < 7; i++) top.addRefused("a");
    top.addRefused("b");
    expect(top.read().keys).toEqual([
      { key: "a", count: 7, error: 0, refused: 7 },
      { key: "b", count: 1, error: 0, refused: 1 },
    ]);
  });

  it("come in the order of how much they are allowed, though few of these are looked at", () => {
    for (let i = 0; i < 100_000; i++) top.addAllowed(i % 10 === 0 ? "rare" : "often");
    const counts = Object.fromEntries(top.read().keys.map(({ key, count }) => [key, count]));
    expect(counts["often"]! / 90_000).toBeCloseTo(1, 1);
    expect(counts["rare"]! / 10_000).toBeCloseTo(1, 0);
  });

  it("are there among any number of others", () => {
    for (let i = 0; i < 20_000; i++) {
      top.addRefused(`other-${i}`);
      if (i % 10 === 0) top.addRefused("hot");
    }
    const { keys } = top.read();
    expect(keys).toHaveLength(TOP_KEYS);
    expect(keys[0]).toMatchObject({ key: "hot", refused: 2000 });
  });

  it("are those of the last minutes, and forgotten after ten", () => {
    top.addRefused("old");
    clock.advance(4 * MINUTE_MS);
    top.addRefused("new");
    clock.advance(4 * MINUTE_MS);
    expect(top.read().keys.map(({ key }) => key)).toEqual(["new", "old"]);
    top.addRefused("newest");
    clock.advance(5 * MINUTE_MS);
    expect(top.read().keys.map(({ key }) => key)).toEqual(["newest"]);
    top.addRefused("last");
    clock.advance(10 * MINUTE_MS);
    expect(top.read()).toEqual({ keys: [], least: 0 });
  });
});
