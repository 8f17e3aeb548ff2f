import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { CircuitOptions, Outcome } from "../../../plugins/breaker/circuit.ts";
import { createThreads, times } from "./threads.ts";

/** A circuit that one thread has. */
function create(options: Partial<CircuitOptions> = {}) {
  const { threads, advance } = createThreads(1, options);
  const { circuit, context } = threads[0]!;
  return { circuit, context, advance, run: threads[0]!.run.bind(threads[0]) };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("a circuit opens", () => {
  it("at the error rate, not below", () => {
    const { circuit, run, context } = create({ minRequests: 10 });
    run(...times(6, "success"), ...times(4, "failure"));
    expect(circuit.state).toBe("closed");
    run("failure", "failure");
    expect(circuit.state).toBe("open");
    expect(context.told).toEqual(["open: 6 of 12 requests failed"]);
  });

  it("at a rate that is no exact fraction", () => {
    const { circuit, run } = create({ errorRate: 7 / 100, minRequests: 100 });
    run(...times(93, "success"), ...times(6, "failure"));
    expect(circuit.state).toBe("closed");
    run("failure");
    expect(circuit.state).toBe("open");
  });

  it("not before there are enough requests, whatever the last of them was", () => {
    const { circuit, run } = create({ minRequests: 4 });
    run(...times(3, "failure"));
    expect(circuit.state).toBe("closed");
    run("success");
    expect(circuit.state).toBe("open");
  });

  it("not because of failures that are long ago", () => {
    const { circuit, run, advance } = create({ minRequests: 4 });
    run(...times(3, "failure"));
    advance(10_001);
    run(...times(3, "failure"));
    expect(circuit.state).toBe("closed");
    run("failure");
    expect(circuit.state).toBe("open");
  });

  it("at so many failures in a row, however few requests there are", () => {
    const { circuit, run, context } = create({ consecutiveFailures: 3, minRequests: 100 });
    run("failure", "failure", "success", "failure", "failure");
    expect(circuit.state).toBe("closed");
    run("failure");
    expect(context.told).toEqual(["open: 3 failures in a row"]);
  });

  it("at the rate of slow calls", () => {
    const { run, context } = create({ slowCallRate: 0.25, minRequests: 4 });
    run("success", "success", "success");
    expect(context.told).toEqual([]);
    run("slow");
    expect(context.told).toEqual(["open: 1 of 4 calls were slow"]);
  });

  it("never because of outcomes that tell nothing", () => {
    const { circuit, run } = create({ consecutiveFailures: 2 });
    run(...times(100, "ignored"));
    expect(circuit.state).toBe("closed");
    expect(circuit.describe()).toMatchObject({ requests: 0, failures: 0 });
  });
});

describe("an open circuit", () => {
  const opened = (options: Partial<CircuitOptions> = {}) => {
    const made = create(options);
    made.run(...times(4, "failure"));
    expect(made.circuit.state).toBe("open");
    return made;
  };

  it("lets nobody in, and says when to come back, rounded up", () => {
    const { circuit, run, advance } = opened({ openForMs: 2500 });
    expect(run("success")).toBe(0);
    expect(circuit.retryAfter).toBe(3);
    advance(600);
    expect(circuit.retryAfter).toBe(2);
    advance(1899);
    expect(circuit.retryAfter).toBe(1);
    expect(circuit.describe()).toMatchObject({ state: "open", halfOpenInMs: 1 });
  });

  it("becomes half-open in its time, and lets only so many in until they are back", () => {
    const { circuit, advance } = opened();
    advance(1000);
    expect(circuit.state).toBe("half-open");
    const tickets = Array.from({ length: 50 }, () => circuit.admit());
    expect(tickets.filter((ticket) => ticket !== 0)).toHaveLength(2);
    expect(circuit.describe()).toMatchObject({ probes: { allowed: 2, started: 2, passed: 0 } });
    expect(circuit.retryAfter).toBe(1);
  });

  it("closes when all probes went well", () => {
    const { circuit, run, advance, context } = opened();
    advance(1000);
    run("success");
    expect(circuit.state).toBe("half-open");
    run("success");
    expect(circuit.state).toBe("closed");
    expect(context.told.slice(1)).toEqual(["half-open: openFor is over", "closed: the probes went well"]);
    expect(circuit.describe()).toMatchObject({ requests: 0, failures: 0, consecutiveFailures: 0 });
  });

  it.each(["failure", "slow"] as const)("opens again when a probe is a %s", (outcome) => {
    const { circuit, run, advance } = opened();
    advance(1000);
    run("success", outcome);
    expect(circuit.state).toBe("open");
  });

  it("gives the place of a probe that told nothing to another", () => {
    const { circuit, run, advance } = opened();
    advance(1000);
    expect(run("ignored", "ignored")).toBe(2);
    expect(circuit.state).toBe("half-open");
    expect(run("success", "success")).toBe(2);
    expect(circuit.state).toBe("closed");
  });

  it("stays open twice as long each time, up to a limit, and starts anew once it was well", () => {
    const { run, advance, context } = opened();
    for (const ms of [1000, 2000, 4000, 8000]) {
      advance(ms);
      run("failure");
    }
    expect(context.openFor).toEqual([1000, 2000, 4000, 8000, 8000]);
    advance(8000);
    run("success", "success");
    run(...times(4, "failure"));
    expect(context.openFor.at(-1)).toBe(1000);
  });

  it("is not opened for less than openFor by a lower limit", () => {
    const { context } = opened({ openForMs: 5000, maxOpenForMs: 1000 });
    expect(context.openFor).toEqual([5000]);
  });

  it("takes no notice of what was let in before it changed", () => {
    const { circuit, context, run, advance } = create();
    const late = [circuit.admit(), circuit.admit()];
    const settle = (outcome: Outcome) => circuit.settle(late.pop()!, outcome, context.clock.monotonic());
    run(...times(4, "failure"));
    advance(1000);
    settle("failure");
    expect(circuit.state).toBe("half-open");
    run("success");
    settle("success");
    expect(circuit.state).toBe("half-open");
  });

  it("has no timer while closed, one while open, none when it is closed for good", () => {
    const { circuit, run } = create();
    run(...times(3, "success"));
    expect(vi.getTimerCount()).toBe(0);
    run(...times(4, "failure"));
    expect(vi.getTimerCount()).toBe(1);
    circuit.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not open any more when it is closed for good", () => {
    const { circuit, run } = create();
    circuit.close();
    run(...times(10, "failure"));
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a circuit that recovers", () => {
  const recovering = (options: Partial<CircuitOptions> = {}) => {
    const made = create({ recoveryMs: 10_000, ...options });
    made.run(...times(options.minRequests ?? 4, "failure"));
    made.advance(1000);
    made.run(...times(options.halfOpen ?? 2, "success"));
    expect(made.circuit.state).toBe("closed");
    return made;
  };

  it("lets requests in by chance, more and more, and at last all", () => {
    const { circuit, context, advance } = recovering();
    const letsIn = (draw: number): boolean => {
      context.draw = draw;
      return circuit.admit() !== 0;
    };
    expect([letsIn(0.04), letsIn(0.06)]).toEqual([true, false]);
    expect(circuit.share).toBeCloseTo(0.05);
    expect(circuit.retryAfter).toBe(1);
    advance(5000);
    expect([letsIn(0.5), letsIn(0.55)]).toEqual([true, false]);
    expect(circuit.describe()).toMatchObject({ recovery: { share: 0.525, health: 1 } });
    advance(5000);
    expect(letsIn(0.999)).toBe(true);
    expect(context.told.at(-1)).toBe("recovered");
    expect(circuit.isIdle).toBe(true);
    expect(circuit.share).toBe(1);
  });

  it("is slowed by a failure and opened again by more, for twice as long", () => {
    const { circuit, context, run, advance } = recovering({ halfOpen: 3, minRequests: 100 });
    context.draw = 0;
    run("failure");
    advance(1000);
    expect(circuit.share).toBeLessThan(0.145);
    run("failure", "failure", "failure");
    expect(context.told.at(-1)).toBe("open: failures during recovery");
    expect(context.openFor.at(-1)).toBe(2000);
  });

  it("opens for openFor again once it has recovered", () => {
    const { circuit, context, run, advance } = recovering();
    advance(10_000);
    run("success");
    expect(circuit.share).toBe(1);
    run(...times(4, "failure"));
    expect(context.openFor).toEqual([1000, 1000]);
  });

  it("never lets in a stampede: of many requests about the share", () => {
    const { circuit, context, advance } = recovering();
    let seed = 1;
    const shares: number[] = [];
    for (let second = 0; second < 10; second++) {
      let letIn = 0;
      for (let i = 0; i < 1000; i++) {
        seed = (seed * 48271) % 2147483647;
        context.draw = seed / 2147483647;
        const ticket = circuit.admit();
        if (ticket === 0) continue;
        letIn++;
        circuit.settle(ticket, "success", context.clock.monotonic());
      }
      shares.push(letIn / 1000);
      advance(1000);
    }
    for (const [second, share] of shares.entries()) {
      expect(Math.abs(share - (0.05 + 0.095 * second))).toBeLessThan(0.05);
    }
    expect(shares.toSorted((a, b) => a - b)).toEqual(shares);
  });
});

describe("what an operator does to a circuit", () => {
  it("forces it open, and lets it recover when it is let go", () => {
    const { circuit, context, run } = create({ recoveryMs: 1000 });
    circuit.force("open");
    expect(run("success")).toBe(0);
    expect(circuit.retryAfter).toBe(1);
    expect(circuit.share).toBe(0);
    circuit.force(undefined);
    expect(circuit.state).toBe("closed");
    expect(circuit.share).toBeCloseTo(0.05);
    expect(context.told).toEqual(["open: forced open", "closed: no longer forced"]);
  });

  it("forces it closed, whatever fails", () => {
    const { circuit, run, advance } = create();
    run(...times(4, "failure"));
    circuit.force("closed");
    expect(run(...times(20, "failure"))).toBe(20);
    expect(circuit.describe()).toMatchObject({
      state: "closed",
      forced: "closed",
      failures: 20,
      reason: "forced closed",
    });
    advance(1000);
    expect(circuit.state).toBe("closed");
    circuit.force(undefined);
    expect(circuit.state).toBe("half-open");
    expect(circuit.describe()).toMatchObject({ failures: 0, forced: null });
  });

  it("resets it: closed, all let in, nothing counted", () => {
    const { circuit, context, run, advance } = create({ recoveryMs: 1000 });
    run(...times(4, "failure"));
    advance(1000);
    run("failure");
    circuit.reset();
    expect(circuit.describe()).toMatchObject({ state: "closed", reason: "reset", requests: 0 });
    expect(circuit.share).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
    run(...times(4, "failure"));
    expect(context.openFor.at(-1)).toBe(1000);
  });

  it("resets what is counted, not what is forced", () => {
    const { circuit } = create();
    circuit.force("open");
    circuit.reset();
    expect(circuit.state).toBe("open");
    expect(circuit.describe()).toMatchObject({ forced: "open" });
  });
});

describe("whatever happens", () => {
  it("only so many probes are under way, and an open circuit lets nobody in", () => {
    const step = fc.oneof(
      fc.constant("admit" as const),
      fc.record({ at: fc.nat(), outcome: fc.constantFrom<Outcome>("success", "failure", "slow", "ignored") }),
      fc.record({ advance: fc.integer({ min: 1, max: 3000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 4 }), (steps, halfOpen) => {
        const { circuit, context, advance } = create({ halfOpen, consecutiveFailures: 2 });
        let underWay: { ticket: number; isProbe: boolean }[] = [];
        for (const each of steps) {
          const before = circuit.state;
          if (each === "admit") {
            const ticket = circuit.admit();
            if (before === "open") expect(ticket).toBe(0);
            if (ticket !== 0) underWay.push({ ticket, isProbe: before === "half-open" });
          } else if ("advance" in each) advance(each.advance);
          else if (underWay.length > 0) {
            const [settled] = underWay.splice(each.at % underWay.length, 1);
            circuit.settle(settled!.ticket, each.outcome, context.clock.monotonic());
          }
          if (circuit.state !== before) underWay = underWay.map(({ ticket }) => ({ ticket, isProbe: false }));
          expect(underWay.filter(({ isProbe }) => isProbe).length).toBeLessThanOrEqual(halfOpen);
        }
        circuit.close();
        expect(vi.getTimerCount()).toBe(0);
      }),
    );
  });
});
