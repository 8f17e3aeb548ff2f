import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { Quarantine, QUARANTINE_MS, type QuarantineReason } from "../../../core/script/quarantine.ts";
import { readState, writeState } from "../../../core/script/quarantine-state.ts";
import { CellTable } from "../../../core/threads/cell-table.ts";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";

const T = 1_000_000;
const HOUR_MS = 3_600_000;

/** The same script on so many threads. */
/** Memory for a few scripts: that of a gateway is large. */
const FEW = { capacity: 32, cellWords: 4 };

function threads(count: number, version = "abc"): Quarantine[] {
  const memory = CellTable.create(FEW, count, T);
  return Array.from(
    { length: count },
    (_, i) => new Quarantine({ circuits: new CellTable(memory, FEW, count, i) }, version),
  );
}

describe("a quarantine", () => {
  it("is imposed on all threads at once, and by one of them", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    expect([a.isImposed(T), b.isImposed(T), a.describe(T)]).toEqual([false, false, undefined]);
    expect(a.impose("timeouts", 30_000, T)).toBe(true);
    expect([a.isImposed(T), b.isImposed(T)]).toEqual([true, true]);
    expect(b.impose("timeouts", 30_000, T + 10)).toBe(false);
    expect(b.describe(T + 10_000)).toEqual({ reason: "timeouts", leftMs: 20_000, isProbing: false });
  });

  it("says nothing of other scripts, nor of another version", () => {
    const shared = new SharedMemory(createSharedMemory(1, T), 0);
    const [a, b] = [new Quarantine(shared, "a"), new Quarantine(shared, "b")];
    a.impose("killed", QUARANTINE_MS.killed, T);
    expect([a.isImposed(T), b.isImposed(T)]).toEqual([true, false]);
  });

  it("lets one call on one thread try when the time is over, and all when that went well", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("memory", 30_000, T);
    expect([a.tryProbe(T + 29_999), b.tryProbe(T + 29_999)]).toEqual([false, false]);
    expect([b.tryProbe(T + 30_000), a.tryProbe(T + 30_000), b.tryProbe(T + 30_000)]).toEqual([
      true,
      false,
      false,
    ]);
    expect([a.isImposed(T + 30_000), b.isImposed(T + 30_000)]).toEqual([true, true]);
    expect(a.describe(T + 30_001)).toEqual({ reason: "memory", leftMs: 0, isProbing: true });
    a.pass(); // it does not try
    expect(a.isImposed(T + 30_002)).toBe(true);
    b.pass();
    expect([a.isImposed(T + 30_002), b.isImposed(T + 30_002)]).toEqual([false, false]);
  });

  it("begins again when the call that tried failed", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("timeouts", 30_000, T);
    expect(a.tryProbe(T + 40_000)).toBe(true);
    a.fail(T + 40_100);
    expect(b.describe(T + 40_100)).toEqual({ reason: "timeouts", leftMs: 30_000, isProbing: false });
    expect(b.tryProbe(T + 70_100)).toBe(true);
  });

  it("lets another call try when the first says nothing for long, for its thread may be gone", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("stall", 30_000, T);
    expect(a.tryProbe(T + 30_000)).toBe(true);
    expect(b.tryProbe(T + 39_999)).toBe(false);
    expect(b.tryProbe(T + 40_000)).toBe(true);
    a.pass(); // too late: another tries
    a.fail(T + 40_001);
    expect(b.describe(T + 40_001)).toMatchObject({ isProbing: true });
    b.pass();
    expect(a.isImposed(T + 40_002)).toBe(false);
  });

  it("does not take a call that tried for one that began to in the same moment", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("timeouts", 30_000, T);
    a.tryProbe(T + 30_000);
    b.lift(T + 30_000);
    b.impose("timeouts", 30_000, T);
    b.tryProbe(T + 30_000);
    a.pass();
    expect(b.describe(T + 30_000)).toMatchObject({ isProbing: true });
  });

  it("takes the word of a call that tried, late as it is, when no other has begun to", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("stall", 30_000, T);
    a.tryProbe(T + 30_000);
    a.pass();
    expect(b.isImposed(T + 90_000)).toBe(false);
  });

  it("doubles with each stall within an hour of the last, up to an hour", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    let now = T;
    const times: (number | null)[] = [];
    for (let i = 0; i < 9; i++) {
      a.impose("stall", QUARANTINE_MS.stall, now);
      const leftMs = b.describe(now)!.leftMs!;
      times.push(leftMs / 1000);
      now += leftMs;
      expect(b.tryProbe(now)).toBe(true);
      if (i % 2 === 0) b.pass(); // that the next call went well says little: many stall now and then
    }
    expect(times).toEqual([30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    now += 2 * HOUR_MS;
    a.impose("stall", QUARANTINE_MS.stall, now);
    expect(a.describe(now)).toMatchObject({ leftMs: 30_000 });
  });

  it("counts one stall once, on however many threads", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    expect([a.impose("stall", 30_000, T), b.impose("stall", 30_000, T + 200)]).toEqual([true, false]);
    expect(a.describe(T + 200)).toMatchObject({ leftMs: 29_800 });
  });

  it("gives way to a graver one only", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("timeouts", 30_000, T);
    expect(b.impose("stall", 30_000, T + 1000)).toBe(true);
    expect(a.impose("timeouts", HOUR_MS, T + 2000)).toBe(false);
    expect(a.impose("killed", QUARANTINE_MS.killed, T + 3000)).toBe(true);
    expect(b.impose("stall", 30_000, T + 3001)).toBe(false);
    expect(b.describe(T + 3001)).toEqual({ reason: "killed", leftMs: null, isProbing: false });
  });

  it("is imposed anew by a call that runs while another tries", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("stall", 30_000, T);
    b.tryProbe(T + 30_000);
    expect(a.impose("timeouts", 30_000, T + 30_500)).toBe(true);
    b.pass();
    expect(a.describe(T + 30_500)).toEqual({ reason: "timeouts", leftMs: 30_000, isProbing: false });
  });

  it("stays for ever when it is imposed so, also when nobody uses the script for days, until it is lifted", () => {
    const memory = new SharedMemory(createSharedMemory(1, T), 0);
    const [a, b] = [new Quarantine(memory, "a"), new Quarantine(memory, "a")];
    a.impose("killed", QUARANTINE_MS.killed, T);
    const later = T + 90 * 24 * HOUR_MS;
    for (let i = 0; i < 50_000; i++) memory.circuits.locate(`other ${i}`, HOUR_MS, later);
    expect([b.isImposed(later), b.tryProbe(later)]).toEqual([true, false]);
    b.lift(later);
    expect([a.isImposed(later), b.describe(later)]).toEqual([false, undefined]);
  });

  it("forgets stalls when it is lifted", () => {
    const [a] = threads(1) as [Quarantine];
    a.impose("stall", 30_000, T);
    a.lift(T + 100);
    a.impose("stall", 30_000, T + 200);
    expect(a.describe(T + 200)).toMatchObject({ leftMs: 30_000 });
  });

  it("keeps its memory as long as somebody uses it, and gives it back", () => {
    const memory = createSharedMemory(1, T);
    const shared = new SharedMemory(memory, 0);
    const quarantine = new Quarantine(shared, "a");
    for (let now = T; now < T + 24 * HOUR_MS; now += HOUR_MS / 4) quarantine.isImposed(now);
    expect(shared.circuits.countLive(T + 24 * HOUR_MS)).toBe(1);
    expect(shared.circuits.countLive(T + 27 * HOUR_MS)).toBe(0);
  });

  it("holds on its own thread when there is no room in shared memory", () => {
    const circuits = new CellTable(CellTable.create(FEW, 1, T), FEW, 1, 0);
    for (let i = 0; i < 64; i++) circuits.locate(`taken ${i}`, HOUR_MS, T);
    const quarantine = new Quarantine({ circuits }, "a");
    expect(quarantine.isImposed(T)).toBe(false);
    quarantine.impose("timeouts", 30_000, T);
    const later = T + 2 * HOUR_MS; // there is room again, but what is imposed stays
    expect([quarantine.isImposed(later), quarantine.tryProbe(later)]).toEqual([true, true]);
    quarantine.pass();
    expect(quarantine.isImposed(later + HOUR_MS)).toBe(false);
    quarantine.impose("timeouts", 30_000, later + HOUR_MS);
    expect(new Quarantine({ circuits }, "a").isImposed(later + HOUR_MS)).toBe(true);
  });
});

it("writes and reads all that a state can be", () => {
  const state = fc.record({
    reason: fc.constantFrom(undefined, "timeouts", "memory", "stall", "killed"),
    isProbing: fc.boolean(),
    stalls: fc.integer({ min: 0, max: 15 }),
    forMs: fc.oneof(
      fc.integer({ min: 0, max: 65_534 }).map((s) => s * 1000),
      fc.constant(Number.POSITIVE_INFINITY),
    ),
    untilMs: fc.oneof(
      fc.integer({ min: 0, max: 0xffff_fffe }).map((ticks) => ticks * 100),
      fc.constant(Number.POSITIVE_INFINITY),
    ),
    change: fc.integer({ min: 0, max: 255 }),
  });
  fc.assert(fc.property(state, (it) => void expect(readState(writeState(it))).toEqual(it)));
});

const real = Atomics.compareExchange;
afterEach(() => void Object.assign(Atomics, { compareExchange: real }));

/** Has something happen on another thread just before this one exchanges for the so-manieth time. */
function inBetween(exchange: number, happens: () => void): void {
  let left = exchange;
  const stepped = (array: BigInt64Array, at: number, expected: bigint, value: bigint): bigint => {
    if (array instanceof BigInt64Array && left-- === 0) happens();
    return real(array, at, expected, value);
  };
  Object.assign(Atomics, { compareExchange: stepped });
}

describe("two threads at the same moment", () => {
  it("try once", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("stall", 30_000, T);
    let other = false;
    inBetween(0, () => (other = b.tryProbe(T + 30_000)));
    expect([a.tryProbe(T + 30_000), other]).toEqual([false, true]);
  });

  it("impose once, and the graver reason stays", () => {
    for (const [mine, theirs] of [
      ["stall", "stall"],
      ["timeouts", "stall"],
      ["stall", "timeouts"],
    ] as const) {
      const [a, b] = threads(2) as [Quarantine, Quarantine];
      expect([a.isImposed(T), b.isImposed(T)]).toEqual([false, false]);
      let other = false;
      inBetween(0, () => (other = b.impose(theirs, 30_000, T)));
      expect([a.impose(mine, 30_000, T), other]).toEqual([mine === "stall" && theirs !== "stall", true]);
      expect(a.describe(T)).toEqual({ reason: "stall", leftMs: 30_000, isProbing: false });
    }
  });

  it("do not lift what is imposed while a call that tried ends", () => {
    const [a, b] = threads(2) as [Quarantine, Quarantine];
    a.impose("timeouts", 30_000, T);
    a.tryProbe(T + 30_000);
    inBetween(0, () => void b.impose("stall", 30_000, T + 31_000));
    a.pass();
    expect(a.describe(T + 31_000)).toEqual({ reason: "stall", leftMs: 30_000, isProbing: false });
  });
});

it("lets at most one call try at a time, never before the time is over, whatever threads do", () => {
  const step = fc.record({
    thread: fc.nat(2),
    what: fc.constantFrom("impose", "probe", "pass", "fail", "lift"),
    reason: fc.constantFrom<QuarantineReason>("timeouts", "memory", "stall", "killed"),
    afterMs: fc.oneof(fc.nat(1000), fc.constant(30_000), fc.constant(10_000), fc.nat(4 * HOUR_MS)),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const all = threads(3);
      let now = T;
      /** Who tries, until when that holds, and until when nobody may. */
      let prober = -1;
      let heldUntil = 0;
      let imposedUntil = 0;
      for (const { thread, what, reason, afterMs } of steps) {
        now += afterMs;
        const one = all[thread]!;
        const before = one.describe(now);
        if (what === "impose") {
          const isDone = one.impose(reason, QUARANTINE_MS[reason], now);
          if (isDone) [prober, imposedUntil] = [-1, now + Math.min(30_000, QUARANTINE_MS[reason])];
          expect(one.isImposed(now)).toBe(true);
        } else if (what === "probe") {
          const mayTry = before !== undefined && before.leftMs === 0 && !before.isProbing;
          expect(one.tryProbe(now)).toBe(mayTry);
          if (!mayTry) continue;
          expect(now).toBeGreaterThanOrEqual(Math.max(imposedUntil, prober === -1 ? 0 : heldUntil));
          [prober, heldUntil] = [thread, now + 10_000];
        } else if (what === "lift") {
          one.lift(now);
          prober = -1;
          expect(one.isImposed(now)).toBe(false);
        } else {
          if (what === "pass") one.pass();
          else one.fail(now);
          const counts = prober === thread;
          if (counts) expect(one.isImposed(now)).toBe(what === "fail");
          else expect(one.describe(now)).toEqual(before);
          if (counts) prober = -1;
        }
        const views = all.map((each) => each.describe(now));
        expect(views).toEqual([views[0], views[0], views[0]]);
        expect(all.map((each) => each.isImposed(now))).toEqual(all.map(() => views[0] !== undefined));
      }
    }),
    { numRuns: 500 },
  );
});
