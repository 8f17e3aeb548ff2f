import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type CircuitCell, STATE } from "../../../plugins/breaker/cell.ts";
import { CLOSED, nextWord, ticketOf } from "../../../plugins/breaker/state-word.ts";
import { RollingWindow } from "../../../plugins/breaker/window.ts";
import { ownCell } from "./threads.ts";

const counts = ({ requests, failures, slow }: RollingWindow) => ({ requests, failures, slow });

/** Has the circuit go on to its next state, and gives the ticket of that. */
function goOn({ words, at }: CircuitCell): number {
  words[at + STATE] = nextWord(words[at + STATE]!, CLOSED, undefined, 0);
  return ticketOf(words[at + STATE]!);
}

describe("a rolling window", () => {
  it("counts requests, failures and slow calls", () => {
    const window = new RollingWindow(1000, ownCell());
    window.add(1, 5, false, false);
    window.add(1, 6, true, false);
    window.add(1, 107, false, true);
    expect(counts(window)).toEqual({ requests: 3, failures: 1, slow: 1 });
  });

  it("counts failures in a row, across tenths", () => {
    const window = new RollingWindow(1000, ownCell());
    for (const [now, isFailure] of [
      [0, true],
      [50, false],
      [60, true],
      [500, true],
    ] as const) {
      window.add(1, now, isFailure, false);
    }
    expect(window.failuresInARow).toBe(2);
    window.add(1, 500, false, true);
    expect(window.failuresInARow).toBe(0);
  });

  it("forgets in tenths", () => {
    const window = new RollingWindow(1000, ownCell());
    window.add(1, 0, true, false);
    window.add(1, 150, true, false);
    window.look(1, 999);
    expect(window.failures).toBe(2);
    window.look(1, 1000);
    expect(window.failures).toBe(1);
    window.look(1, 1100);
    expect(window.failures).toBe(0);
  });

  it("knows nothing of earlier states of the circuit, nor after a long silence", () => {
    const cell = ownCell();
    const window = new RollingWindow(1000, cell);
    window.add(1, 100, true, true);
    const ticket = goOn(cell);
    window.look(ticket, 100);
    expect([counts(window), window.failuresInARow]).toEqual([{ requests: 0, failures: 0, slow: 0 }, 0]);
    window.add(ticket, 200, true, true);
    window.add(ticket, 1e9, false, false);
    expect(counts(window)).toEqual({ requests: 1, failures: 0, slow: 0 });
  });

  it("takes no count for a state that is over by now, as of a thread that was held up", () => {
    const cell = ownCell();
    const window = new RollingWindow(1000, cell);
    const late = new RollingWindow(1000, cell);
    const ticket = goOn(cell);
    for (let i = 0; i < 3; i++) window.add(ticket, 1150, true, false);
    for (let now = 150; now <= 1150; now += 100) late.add(ticket - 1, now, true, false);
    window.add(ticket, 1150, true, false);
    expect([counts(window), window.failuresInARow]).toEqual([{ requests: 4, failures: 4, slow: 0 }, 4]);
  });

  it("takes nothing old for new when the marks of its counts begin anew", () => {
    const window = new RollingWindow(1000, ownCell());
    const ROUND = 4096 * 5 * 100; // after so many milliseconds the same bucket has the same mark
    window.add(1, 0, true, false);
    window.add(1, ROUND, false, false);
    expect(counts(window)).toEqual({ requests: 1, failures: 0, slow: 0 });
    window.add(1, ROUND + 300, true, false);
    for (let now = ROUND + 500; now <= 2 * ROUND + 500; now += 500) window.look(1, now);
    expect(counts(window)).toEqual({ requests: 0, failures: 0, slow: 0 });
  });

  it("counts what comes by a clock that is a little behind", () => {
    const cell = ownCell();
    const [ahead, behind] = [new RollingWindow(1000, cell), new RollingWindow(1000, cell)];
    ahead.add(1, 200, true, false);
    behind.add(1, 199, true, false);
    expect(counts(behind)).toEqual({ requests: 2, failures: 2, slow: 0 });
    ahead.look(1, 1200);
    expect(ahead.failures).toBe(0);
  });

  const event = fc.record({
    thread: fc.nat({ max: 2 }),
    after: fc.oneof(
      fc.integer({ min: 0, max: 50 }),
      fc.integer({ min: 0, max: 5000 }),
      fc.double({ min: 0, max: 300, noNaN: true }),
      fc.integer({ min: 0, max: 1e7 }),
    ),
    goesOn: fc.nat({ max: 19 }).map((n) => n === 0),
    isFailure: fc.boolean(),
    isSlow: fc.boolean(),
  });

  it("has what came within the newest ten tenths of this state, from whichever thread", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 10, max: 3000 }),
        fc.double({ min: 0, max: 2e9, noNaN: true }),
        fc.array(event, { maxLength: 200 }),
        (withinMs, start, events) => {
          const cell = ownCell();
          const windows = Array.from({ length: 3 }, () => new RollingWindow(withinMs, cell));
          const tick = (time: number): number => Math.floor(time / (withinMs / 10));
          let all: { tick: number; isFailure: boolean; isSlow: boolean }[] = [];
          let now = start;
          let ticket = 1;
          for (const { thread, after, goesOn, isFailure, isSlow } of events) {
            now += after;
            if (goesOn) {
              ticket = goOn(cell);
              all = [];
            }
            windows[thread]!.add(ticket, now, isFailure, isSlow);
            all.push({ tick: tick(now), isFailure, isSlow });
            const seen = all.filter((each) => each.tick > tick(now) - 10);
            expect(counts(windows[thread]!)).toEqual({
              requests: seen.length,
              failures: seen.filter((each) => each.isFailure).length,
              slow: seen.filter((each) => each.isSlow).length,
            });
            const ended = all.findLastIndex((each) => !each.isFailure);
            expect(windows[thread]!.failuresInARow).toBe(all.length - 1 - ended);
          }
        },
      ),
    );
  });
});
