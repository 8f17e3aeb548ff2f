import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CLOSED,
  forcedOf,
  HALF_OPEN,
  isForced,
  isFree,
  isProbing,
  nextWord,
  OPEN,
  openedOf,
  phaseOf,
  RECOVERING,
  recoveredWord,
  stateOf,
  ticketOf,
} from "../../../plugins/breaker/state-word.ts";

describe("the word of a circuit's state", () => {
  it("is zero for one that never changed", () => {
    expect([stateOf(0), forcedOf(0), openedOf(0), ticketOf(0), isFree(0)]).toEqual([
      "closed",
      undefined,
      0,
      1,
      true,
    ]);
  });

  const part = fc.record({
    phase: fc.constantFrom(CLOSED, RECOVERING, HALF_OPEN, OPEN),
    force: fc.constantFrom("open" as const, "closed" as const, undefined),
    opened: fc.nat({ max: 100 }),
  });

  it("keeps what it is made of, and has another ticket than the one before", () => {
    fc.assert(
      fc.property(fc.integer(), part, (before, { phase, force, opened }) => {
        const word = nextWord(before, phase, force, opened);
        expect([phaseOf(word), forcedOf(word), openedOf(word)]).toEqual([phase, force, Math.min(opened, 31)]);
        expect(isForced(word)).toBe(force !== undefined);
        expect(isFree(word)).toBe(phase === CLOSED && force === undefined);
        expect(isProbing(word)).toBe(phase === HALF_OPEN && force === undefined);
        expect(ticketOf(word)).toBe((ticketOf(before) % 2 ** 23) + 1);
        expect(word | 0).toBe(word);
      }),
    );
  });

  it("is of the same state when its recovery is over", () => {
    const word = nextWord(-1, RECOVERING, undefined, 7);
    const recovered = recoveredWord(word);
    expect([ticketOf(recovered), isFree(recovered), openedOf(recovered)]).toEqual([ticketOf(word), true, 0]);
  });
});
