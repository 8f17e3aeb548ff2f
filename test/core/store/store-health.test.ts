import { beforeEach, describe, expect, it } from "vitest";
import { StoreHealth } from "../../../core/store/store-health.ts";
import { FakeLog } from "../../support/harness.ts";

describe("what stages know of their store", () => {
  let log: FakeLog;
  let health: StoreHealth;
  beforeEach(() => {
    log = new FakeLog();
    health = new StoreHealth("shared", { away: "done without", back: "asked again" });
  });
  const failTimes = (times: number, nowMs: number): void => {
    for (let i = 0; i < times; i++) health.failed(`k${i}`, nowMs, "no answer in 50 ms", log);
  };
  const asked = (nowMs: number, keys: readonly string[]): string[] =>
    keys.filter((key) => health.mayAsk(key, nowMs));

  it("is away after three failures without an answer, and back with the first one: told once each", () => {
    health.answered("a", 0, log);
    failTimes(2, 1000);
    expect(health.isAway).toBe(false);
    failTimes(40, 1001);
    expect(health.isAway).toBe(true);
    health.answered("a", 1500, log);
    health.answered("a", 1501, log);
    expect(health.isAway).toBe(false);
    expect(log.lines).toEqual([
      {
        level: "warn",
        fields: { store: "shared", reason: "no answer in 50 ms" },
        message: "done without",
      },
      { level: "info", fields: { store: "shared" }, message: "asked again" },
    ]);
  });

  it("is away from the start when it never answered", () => {
    failTimes(3, 0);
    expect(health.isAway).toBe(true);
  });

  it("lets one request try it every 250 ms while it is away, whatever its key", () => {
    failTimes(3, 1000);
    expect(asked(1249, ["a", "b"])).toEqual([]);
    expect(asked(1250, ["a", "b", "c"])).toEqual(["a"]);
    expect(asked(1499, ["b"])).toEqual([]);
    expect(asked(1500, ["b", "a"])).toEqual(["b"]);
    health.answered("b", 1501, log);
    expect(asked(1501, ["a", "b", "k0", "k1", "k2"])).toHaveLength(5);
  });

  it("is there while others are answered, but for keys that are not: of those one tries every 250 ms", () => {
    const tried: number[] = [];
    for (let ms = 0; ms < 1000; ms += 10) {
      expect(health.mayAsk("well", ms)).toBe(true);
      health.answered("well", ms, log);
      for (const key of ["lost", "lost"]) if (health.mayAsk(key, ms)) tried.push(ms);
      if (tried.at(-1) === ms) health.failed("lost", ms, "no answer", log);
    }
    expect(tried).toEqual([0, 0, 10, 10, 20, 20, 270, 520, 770]);
    expect([health.isAway, log.lines]).toEqual([false, []]);
    expect(health.mayAsk("lost", 1020)).toBe(true);
    health.answered("lost", 1021, log);
    expect(asked(1021, ["lost", "lost"])).toHaveLength(2);
  });

  it("lets no others wait with a try that takes long to fail", () => {
    health.answered("well", 1000, log);
    for (let i = 0; i < 3; i++) health.failed("lost", 1000, "no answer in 1000 ms", log);
    let tries = 0;
    for (let ms = 1000; ms < 3000; ms += 10) {
      health.answered("well", ms, log);
      if (health.mayAsk("lost", ms)) tries++;
      if (ms >= 2250 && ms % 250 === 0) health.failed("lost", ms, "no answer in 1000 ms", log);
    }
    expect(tries).toBe(7);
  });

  it("is there after failures of many keys at once, as long as it answered a moment ago", () => {
    health.answered("well", 1000, log);
    failTimes(10, 1249);
    expect(health.isAway).toBe(false);
    failTimes(1, 1250);
    expect(health.isAway).toBe(true);
  });

  it("asks for all keys when it is back, also for those that failed", () => {
    for (let ms = 0; ms < 6; ms++) health.failed("lost", ms, "no answer", log);
    health.answered("well", 10, log);
    expect(asked(10, ["lost", "lost"])).toHaveLength(2);
  });

  it("takes failures that are apart for no trouble", () => {
    for (let i = 0; i < 10; i++) {
      const ms = 600 * i;
      expect(health.mayAsk("a", ms)).toBe(true);
      health.failed("a", ms, "no answer", log);
      health.answered("b", ms, log);
      expect(health.mayAsk("a", ms)).toBe(true);
    }
  });
});
