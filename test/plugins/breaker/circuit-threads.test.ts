import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createSharedMemory, SharedMemory } from "../../../core/threads/shared-memory.ts";
import { CELL_WORDS } from "../../../plugins/breaker/cell.ts";
import type { CircuitOptions, Outcome } from "../../../plugins/breaker/circuit.ts";
import { PROBE_TIMEOUT_MS } from "../../../plugins/breaker/probes.ts";
import { createThreads, times } from "./threads.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function two(options: Partial<CircuitOptions> = {}) {
  const made = createThreads(2, options);
  return { ...made, a: made.threads[0]!, b: made.threads[1]! };
}

describe("a circuit of several threads", () => {
  it("counts the outcomes of all, opens for all, and says so once", () => {
    const { a, b, told } = two({ minRequests: 4 });
    a.run("success", "failure");
    b.run("success");
    expect([a.circuit.state, told]).toEqual(["closed", []]);
    b.run("failure");
    expect([a.circuit.admit(), b.circuit.admit()]).toEqual([0, 0]);
    expect([a.circuit.retryAfter, b.circuit.retryAfter]).toEqual([1, 1]);
    expect(told).toEqual(["open: 2 of 4 requests failed"]);
  });

  it("counts failures in a row whichever thread had them", () => {
    const { a, b, told } = two({ consecutiveFailures: 3, minRequests: 100 });
    a.run("failure", "failure");
    b.run("success", "failure", "failure");
    expect(told).toEqual([]);
    a.run("failure");
    expect(told).toEqual(["open: 3 failures in a row"]);
  });

  it("takes no notice of what a thread let in before another one opened it", () => {
    const { a, b, advance } = two();
    const late = a.circuit.admit();
    b.run(...times(4, "failure"));
    advance(1000);
    a.circuit.settle(late, "failure", a.context.clock.monotonic());
    expect(a.circuit.state).toBe("half-open");
  });

  it("is tried in its time on all threads, with so many probes in all", () => {
    const { a, b, advance, told } = two({ halfOpen: 3 });
    a.run(...times(4, "failure"));
    advance(999);
    expect([a.circuit.admit(), b.circuit.admit()]).toEqual([0, 0]);
    advance(1);
    const probes = times(5, "success").flatMap(() => [a.circuit.admit(), b.circuit.admit()]);
    expect(probes.filter((ticket) => ticket !== 0)).toHaveLength(3);
    expect(b.circuit.describe()).toMatchObject({ probes: { allowed: 3, started: 3, passed: 0 } });
    expect(told.slice(1)).toEqual(["half-open: openFor is over"]);
  });

  it("closes for all when the probes of all went well", () => {
    const { a, b, advance, told } = two({ halfOpen: 2 });
    a.run(...times(4, "failure"));
    advance(1000);
    a.run("success");
    expect(b.circuit.describe()).toMatchObject({ state: "half-open", probes: { passed: 1 } });
    b.run("success");
    expect([a.run("success"), b.run("success")]).toEqual([1, 1]);
    expect(told.slice(2)).toEqual(["closed: the probes went well"]);
  });

  it("opens again for all when a probe of one fails, twice as long", () => {
    const { a, b, advance } = two();
    a.run(...times(4, "failure"));
    advance(1000);
    expect(a.circuit.admit()).not.toBe(0);
    b.run("failure");
    advance(1999);
    expect([a.circuit.admit(), b.circuit.admit()]).toEqual([0, 0]);
    advance(1);
    expect([a.run("success"), b.run("success")]).toEqual([1, 1]);
  });

  it("is tried though the thread that opened it is gone, and no other one has seen it open", () => {
    const { a, b, clock, told } = two();
    a.run(...times(4, "failure"));
    a.circuit.close();
    expect(vi.getTimerCount()).toBe(0);
    clock.advance(1000);
    expect(b.circuit.admit()).not.toBe(0);
    expect(told.slice(1)).toEqual(["half-open: openFor is over"]);
  });

  it("is tried when the timer of a thread says so, though that may be early by a little", () => {
    const { a, clock, told } = two();
    a.run(...times(4, "failure"));
    clock.advance(999.6);
    vi.advanceTimersByTime(1000);
    expect(told.slice(1)).toEqual(["half-open: openFor is over"]);
  });

  it("is found as it is by a thread that meets it later", () => {
    const { a, meet, advance } = two();
    a.run(...times(4, "failure"));
    advance(400);
    const late = meet(2);
    expect(late.circuit.describe()).toMatchObject({
      state: "open",
      reason: "4 of 4 requests failed",
      halfOpenInMs: 600,
      since: new Date(a.context.clock.now() - 400).toISOString(),
    });
    expect(vi.getTimerCount()).toBe(2);
    advance(600);
    expect(late.circuit.state).toBe("half-open");
  });

  it("recovers for all: failures of one slow what the others let in", () => {
    const { a, b, advance, told } = two({
      recoveryMs: 10_000,
      halfOpen: 3,
      minRequests: 100,
      errorRate: 0.5,
    });
    a.run(...times(100, "failure"));
    advance(1000);
    a.run(...times(3, "success"));
    advance(4000);
    expect(b.circuit.share).toBeCloseTo(0.05 + 0.95 * 0.4);
    a.context.draw = 0;
    a.run("failure");
    expect(b.circuit.describe()).toMatchObject({ recovery: { health: 0.5 } });
    advance(10_000);
    b.run("success");
    expect([a.circuit.share, b.circuit.share]).toEqual([1, 1]);
    expect(told.slice(3)).toEqual(["recovered"]);
  });

  it("is forced for all by one, and what all are told to do is done once", () => {
    const { a, b, told } = two({ recoveryMs: 1000 });
    const both = (change: (circuit: typeof a.circuit) => void): void => {
      for (const { circuit } of [a, b]) change(circuit);
    };
    a.circuit.force("open");
    expect([b.circuit.state, b.circuit.admit()]).toEqual(["open", 0]);
    expect(b.circuit.describe()).toMatchObject({ forced: "open", reason: "forced open" });
    both((circuit) => circuit.force("open"));
    both((circuit) => circuit.force("closed"));
    expect(b.run(...times(20, "failure"))).toBe(20);
    expect(a.circuit.describe()).toMatchObject({ state: "closed", failures: 20 });
    both((circuit) => circuit.force(undefined));
    expect(told).toEqual(["open: forced open", "closed: forced closed"]);
    b.run(...times(4, "failure"));
    both((circuit) => circuit.reset());
    expect(a.circuit.describe()).toMatchObject({ state: "closed", failures: 0, reason: "reset" });
    expect(told.slice(2)).toEqual(["open: 4 of 4 requests failed", "closed: reset"]);
    expect(b.run("success")).toBe(1);
  });

  it("leaves no timer on any thread once it is closed", () => {
    const { a, b, advance } = two();
    a.run(...times(4, "failure"));
    b.run("success");
    expect(vi.getTimerCount()).toBe(2);
    advance(1000);
    a.run("success", "success");
    b.run("success");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("is counted in metrics by one thread, and by another one when that lets go of it or is gone", () => {
    const { a, b, clock } = two();
    const told = (): boolean[] => [a.circuit.isTold, b.circuit.isTold];
    expect([told(), told()]).toEqual([
      [true, false],
      [true, false],
    ]);
    a.circuit.close();
    expect([b.circuit.isTold, b.circuit.isTold]).toEqual([true, true]);
    clock.advance(60_000);
    expect(told()).toEqual([true, false]);
  });
});

describe("probes of a thread that is gone", () => {
  const halfOpen = () => {
    const made = two({ halfOpen: 2, openForMs: 1000 });
    made.b.run(...times(4, "failure"));
    made.advance(1000);
    return made;
  };

  it("leave their places to others after a minute, so that the circuit is not left half-open", () => {
    const { a, b, advance } = halfOpen();
    expect([a.circuit.admit(), a.circuit.admit()]).not.toContain(0);
    advance(PROBE_TIMEOUT_MS - 1);
    expect(b.run("success")).toBe(0);
    advance(1);
    expect([b.circuit.admit(), b.circuit.admit(), b.circuit.admit()].indexOf(0)).toBe(2);
    advance(PROBE_TIMEOUT_MS);
    expect(b.run("success", "success")).toBe(2);
    expect(b.circuit.state).toBe("closed");
  });

  it("leave what others found out as it is", () => {
    const { a, b, advance } = halfOpen();
    a.circuit.admit();
    b.run("success");
    expect(b.run("success")).toBe(0);
    advance(PROBE_TIMEOUT_MS);
    const probe = b.circuit.admit();
    expect(b.circuit.admit()).toBe(0);
    b.circuit.settle(probe, "success", b.context.clock.monotonic());
    expect(b.circuit.state).toBe("closed");
  });

  it("count all the same when they were only slow to come back", () => {
    const { a, b, advance, clock } = halfOpen();
    const slow = [a.circuit.admit(), a.circuit.admit()];
    advance(PROBE_TIMEOUT_MS);
    expect(b.circuit.admit()).not.toBe(0);
    for (const ticket of slow) a.circuit.settle(ticket, "success", clock.monotonic());
    expect(b.circuit.state).toBe("closed");
  });

  it("that told nothing leave no more places than there were", () => {
    const { a, b, advance, clock } = halfOpen();
    const slow = [a.circuit.admit(), a.circuit.admit()];
    advance(PROBE_TIMEOUT_MS);
    expect([b.circuit.admit(), b.circuit.admit()]).not.toContain(0);
    for (const ticket of slow) a.circuit.settle(ticket, "ignored", clock.monotonic());
    expect([b.circuit.admit(), b.circuit.admit(), b.circuit.admit()].indexOf(0)).toBe(2);
  });
});

describe("whatever several threads do, one after the other", () => {
  const step = fc.oneof(
    { arbitrary: fc.record({ admit: fc.nat({ max: 2 }) }), weight: 6 },
    {
      arbitrary: fc.record({
        settle: fc.nat(),
        outcome: fc.constantFrom<Outcome>("success", "success", "failure", "slow", "ignored"),
      }),
      weight: 6,
    },
    { arbitrary: fc.record({ advance: fc.integer({ min: 1, max: 3000 }) }), weight: 2 },
    {
      arbitrary: fc.record({
        force: fc.constantFrom("open" as const, "closed" as const, undefined),
        by: fc.nat({ max: 2 }),
      }),
      weight: 1,
    },
    { arbitrary: fc.record({ reset: fc.nat({ max: 2 }) }), weight: 1 },
    { arbitrary: fc.record({ draw: fc.double({ min: 0, max: 0.999, noNaN: true }) }), weight: 1 },
  );

  it("the circuit does what one of a single thread does", () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 150 }),
        fc.record({
          halfOpen: fc.integer({ min: 1, max: 4 }),
          consecutiveFailures: fc.constantFrom(2, 3, Number.POSITIVE_INFINITY),
          minRequests: fc.integer({ min: 1, max: 6 }),
          recoveryMs: fc.constantFrom(0, 5000),
        }),
        fc.integer({ min: 1, max: 3 }),
        (steps, options, count) => {
          vi.clearAllTimers();
          const many = createThreads(count, options);
          const one = createThreads(1, options);
          const runs = [
            { ...many, threadOf: (i: number) => many.threads[i % count]! },
            { ...one, threadOf: () => one.threads[0]! },
          ];
          const underWay: { thread: number; tickets: number[] }[] = [];
          for (const each of steps) {
            if ("admit" in each) {
              const tickets = runs.map((run) => run.threadOf(each.admit).circuit.admit());
              expect(tickets[0] === 0).toBe(tickets[1] === 0);
              if (tickets[0] !== 0) underWay.push({ thread: each.admit, tickets });
            } else if ("settle" in each) {
              if (underWay.length === 0) continue;
              const [settled] = underWay.splice(each.settle % underWay.length, 1);
              for (const [i, run] of runs.entries()) {
                const { circuit } = run.threadOf(settled!.thread);
                circuit.settle(settled!.tickets[i]!, each.outcome, run.clock.monotonic());
              }
            } else if ("advance" in each) {
              for (const { clock } of runs) clock.advance(each.advance);
              vi.advanceTimersByTime(each.advance);
            } else if ("force" in each) {
              for (const run of runs) run.threadOf(each.by).circuit.force(each.force);
            } else if ("reset" in each) {
              for (const run of runs) run.threadOf(each.reset).circuit.reset();
            } else {
              for (const { threads } of runs) for (const { context } of threads) context.draw = each.draw;
            }
            const expected = one.threads[0]!.circuit.describe();
            for (const { circuit } of many.threads) expect(circuit.describe()).toEqual(expected);
          }
          expect(many.told).toEqual(one.told);
          for (const { threads } of runs) for (const { circuit } of threads) circuit.close();
          expect(vi.getTimerCount()).toBe(0);
        },
      ),
    );
  });
});

describe("the memory of circuits", () => {
  it("has cells with room for one", () => {
    const { circuits } = new SharedMemory(createSharedMemory(1), 0);
    expect(circuits.cellWords).toBeGreaterThanOrEqual(CELL_WORDS);
  });
});
