import { describe, expect, it } from "vitest";
import {
  type KeyReading,
  type LimitReading,
  mergeKeyReadings,
  mergeLimits,
  showLimit,
  showLimitWhole,
} from "../../core/limit-view.ts";

const reading = (more: Partial<LimitReading> = {}): LimitReading => ({
  route: "users",
  stage: "limit",
  by: "ip",
  mode: "enforce",
  store: null,
  plans: [],
  requests: {},
  topKeys: { keys: [], least: 0 },
  bans: [],
  ...more,
});

describe("what two threads tell of a limit", () => {
  it("is one: counts and keys are added, bans are those that either knows", () => {
    const a = reading({
      requests: { allowed: 5, limited: 1 },
      topKeys: { keys: [{ key: "x", count: 9, error: 0, refused: 2 }], least: 0 },
      bans: [
        { key: "x", forMs: 100 },
        { key: "y", forMs: 300 },
      ],
    });
    const b = reading({
      requests: { allowed: 3, banned: 4 },
      topKeys: {
        keys: [
          { key: "z", count: 12, error: 1, refused: 0 },
          { key: "x", count: 4, error: 0, refused: 4 },
        ],
        least: 0,
      },
      bans: [
        { key: "x", forMs: 200 },
        { key: "y", forMs: 30 },
      ],
    });
    const merged = mergeLimits(a, b);
    expect(merged.requests).toEqual({ allowed: 8, limited: 1, banned: 4 });
    expect(showLimit("users:limit", merged)).toEqual({
      id: "users:limit",
      route: "users",
      stage: "limit",
      by: "ip",
      mode: "enforce",
      store: null,
      plans: [],
      requests: { allowed: 8, limited: 1, banned: 4 },
      banned: 2,
    });
    expect(showLimitWhole("users:limit", merged)).toMatchObject({
      banned: 2,
      topKeys: [
        { key: "x", requests: 13, error: 0, refused: 6 },
        { key: "z", requests: 12, error: 1, refused: 0 },
      ],
      bans: [
        { key: "y", forMs: 300 },
        { key: "x", forMs: 200 },
      ],
    });
  });

  it("has the bans of the one that could ask its store", () => {
    const bans = [{ key: "x", forMs: 1 }];
    expect(mergeLimits(reading({ bans: null }), reading({ bans })).bans).toEqual(bans);
    const neither = mergeLimits(reading({ bans: null }), reading({ bans: null }));
    expect(showLimitWhole("a", neither)).toMatchObject({ banned: null, bans: null });
  });
});

describe("what threads tell of a key", () => {
  const of = (remaining: number, bannedForMs: number): KeyReading => ({
    key: "x",
    bannedForMs,
    plans: [{ tier: null, rules: [{ name: "1m", remaining, resetMs: remaining * 2 }] }],
  });

  it("is the least that is left, and the longest ban", () => {
    expect(mergeKeyReadings([of(4, 0), of(2, 70), of(3, 60)])).toEqual(of(2, 70));
  });
});
