import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RollingWindow } from "../../../plugins/breaker/window.ts";

const counts = ({ requests, failures, slow }: RollingWindow) => ({ requests, failures, slow });

describe("a rolling window", () => {
  it("counts requests, failures and slow calls", () => {
    const window = new RollingWindow(1000);
    window.add(5, false, false);
    window.add(6, true, false);
    window.add(107, false, true);
    expect(counts(window)).toEqual({ requests: 3, failures: 1, slow: 1 });
  });

  it("forgets in tenths", () => {
    const window = new RollingWindow(1000);
    window.add(0, true, false);
    window.add(150, true, false);
    window.forget(999);
    expect(window.failures).toBe(2);
    window.forget(1000);
    expect(window.failures).toBe(1);
    window.forget(1100);
    expect(window.failures).toBe(0);
  });

  it("knows nothing any more once cleared, nor after a long silence", () => {
    const window = new RollingWindow(1000);
    window.add(100, true, true);
    window.clear();
    expect(counts(window)).toEqual({ requests: 0, failures: 0, slow: 0 });
    window.add(200, true, true);
    window.add(1e9, false, false);
    expect(counts(window)).toEqual({ requests: 1, failures: 0, slow: 0 });
  });

  it("has what came within the newest ten tenths, whatever comes when", () => {
    const event = fc.record({
      after: fc.oneof(
        fc.integer({ min: 0, max: 50 }),
        fc.integer({ min: 0, max: 5000 }),
        fc.double({ min: 0, max: 300, noNaN: true }),
      ),
      isFailure: fc.boolean(),
      isSlow: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 3000 }),
        fc.double({ min: 0, max: 1e12, noNaN: true }),
        fc.array(event, { maxLength: 200 }),
        (withinMs, start, events) => {
          const window = new RollingWindow(withinMs);
          const tick = (time: number): number => Math.floor(time / (withinMs / 10));
          const all: { tick: number; isFailure: boolean; isSlow: boolean }[] = [];
          let now = start;
          for (const { after, isFailure, isSlow } of events) {
            now += after;
            window.add(now, isFailure, isSlow);
            all.push({ tick: tick(now), isFailure, isSlow });
            const seen = all.filter((each) => each.tick > tick(now) - 10);
            expect(counts(window)).toEqual({
              requests: seen.length,
              failures: seen.filter((each) => each.isFailure).length,
              slow: seen.filter((each) => each.isSlow).length,
            });
          }
        },
      ),
    );
  });
});
