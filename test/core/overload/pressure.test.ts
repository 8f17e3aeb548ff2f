import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Signal, shedShare } from "../../../core/overload/pressure.ts";

const share = fc.double({ min: 0, max: 1, noNaN: true });

describe("the share to shed", () => {
  it("is nothing up to the priority, everything at full pressure, and grows evenly between", () => {
    fc.assert(
      fc.property(share, fc.double({ min: 0, max: 0.99, noNaN: true }), (pressure, priority) => {
        const shed = shedShare(pressure, priority);
        expect(shed).toBeGreaterThanOrEqual(0);
        expect(shed).toBeLessThanOrEqual(1);
        if (pressure <= priority) expect(shed).toBe(0);
        else expect(shed).toBeCloseTo((pressure - priority) / (1 - priority), 10);
        expect(shedShare(1, priority)).toBe(1);
      }),
    );
  });

  it("is never larger for a higher priority, nor smaller for a higher pressure", () => {
    fc.assert(
      fc.property(share, share, share, (a, b, c) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)];
        expect(shedShare(c, high)).toBeLessThanOrEqual(shedShare(c, low));
        expect(shedShare(low, c)).toBeLessThanOrEqual(shedShare(high, c));
      }),
    );
  });

  it("is always nothing for the highest priority", () => {
    fc.assert(fc.property(share, (pressure) => shedShare(pressure, 1) === 0));
  });
});

describe("a signal", () => {
  const observe = (signal: Signal, reading: number, times: number): Signal => {
    for (let i = 0; i < times; i++) signal.observe(reading);
    return signal;
  };

  it("presses between its two levels", () => {
    for (const [reading, pressure] of [
      [0, 0],
      [100, 0],
      [300, 0.5],
      [500, 1],
      [5000, 1],
    ] as const) {
      expect(observe(new Signal("x", 100, 500), reading, 100).pressure).toBeCloseTo(pressure, 5);
    }
  });

  it("takes its first reading as it is", () => {
    expect(observe(new Signal("x", 100, 500), 500, 1).pressure).toBe(1);
  });

  it("makes little of one bad reading, and much of several", () => {
    const signal = observe(new Signal("x", 100, 500), 0, 5);
    signal.observe(60_000);
    expect(signal.pressure).toBeLessThan(0.3);
    observe(signal, 60_000, 5);
    expect(signal.pressure).toBeGreaterThan(0.8);
    observe(signal, 60_000, 10);
    expect(signal.pressure).toBe(1);
  });

  it("rises faster than it falls", () => {
    const up = observe(observe(new Signal("x", 100, 500), 0, 1), 400, 3).value;
    const down = 400 - observe(observe(new Signal("x", 100, 500), 400, 1), 0, 3).value;
    expect(up).toBeGreaterThan(down * 1.5);
  });

  it("does not flap when its readings do", () => {
    const signal = observe(new Signal("x", 100, 500), 0, 1);
    const seen: number[] = [];
    for (let i = 0; i < 100; i++) {
      signal.observe(i % 2 === 0 ? 500 : 100);
      if (i > 20) seen.push(signal.pressure);
    }
    expect(Math.max(...seen) - Math.min(...seen)).toBeLessThan(0.2);
    expect(Math.min(...seen)).toBeGreaterThan(0.3);
  });

  it("is calm again a while after its readings are", () => {
    const signal = observe(new Signal("x", 100, 500), 500, 20);
    observe(signal, 0, 20);
    expect(signal.pressure).toBe(0);
  });
});
