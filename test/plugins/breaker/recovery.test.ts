import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FIRST_SHARE, Recovery } from "../../../plugins/breaker/recovery.ts";
import { ownCell } from "./threads.ts";

const options = { recoveryMs: 10_000, errorRate: 0.5, slowCallRate: 0.5, halfOpen: 3 };

function begin(changes: Partial<typeof options> = {}): Recovery {
  const recovery = new Recovery({ ...options, ...changes }, ownCell());
  recovery.begin(0);
  return recovery;
}

describe("recovery", () => {
  it("goes from a few percent to all in its time when nothing fails", () => {
    const recovery = begin();
    expect(recovery.share(0)).toBe(FIRST_SHARE);
    expect(recovery.share(5000)).toBeCloseTo(0.525);
    expect(recovery.isOver).toBe(false);
    expect(recovery.share(10_000)).toBe(1);
    expect(recovery.isOver).toBe(true);
  });

  it("is slowed by failures, and goes on when they are forgotten", () => {
    const recovery = begin();
    recovery.observe(0, true, false);
    expect(recovery.health).toBeCloseTo(0.5);
    const slowed = recovery.share(2000);
    expect(slowed).toBeLessThan(FIRST_SHARE + 0.95 * 0.2);
    expect(slowed).toBeGreaterThan(FIRST_SHARE);
    recovery.share(9000);
    expect(recovery.health).toBeGreaterThan(0.85);
  });

  it("is slowed by slow calls as well", () => {
    const recovery = begin({ slowCallRate: 0.25 });
    recovery.observe(0, false, true);
    expect(recovery.health).toBe(0);
  });

  it("has no health left when as much fails as opens the circuit", () => {
    const recovery = begin();
    for (let i = 0; i < 2; i++) recovery.observe(0, true, false);
    expect(recovery.health).toBeGreaterThan(0);
    recovery.observe(0, true, false);
    expect(recovery.health).toBe(0);
  });

  const event = fc.record({
    after: fc.integer({ min: 0, max: 2000 }),
    isFailure: fc.boolean(),
    isSlow: fc.boolean(),
  });

  it("never lets in less than before, nor more than time alone would allow", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 100 }), (events) => {
        const recovery = begin();
        let now = 0;
        let last = FIRST_SHARE;
        for (const { after, isFailure, isSlow } of events) {
          now += after;
          const share = recovery.share(now);
          expect(share).toBeGreaterThanOrEqual(last);
          expect(share).toBeLessThanOrEqual(Math.min(1, FIRST_SHARE + 0.95 * (now / 10_000)) + 1e-9);
          recovery.observe(now, isFailure, isSlow);
          last = share;
        }
      }),
    );
  });

  it("always ends when nothing fails any more", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 50 }), (events) => {
        const recovery = begin();
        let now = 0;
        for (const { after, isFailure, isSlow } of events)
          recovery.observe((now += after), isFailure, isSlow);
        for (let i = 0; i < 100; i++) recovery.observe((now += 1000), false, false);
        expect(recovery.isOver).toBe(true);
      }),
    );
  });
});
