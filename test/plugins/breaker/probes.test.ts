import { describe, expect, it } from "vitest";
import { type CircuitCell, STATE } from "../../../plugins/breaker/cell.ts";
import { PROBE_TIMEOUT_MS, Probes } from "../../../plugins/breaker/probes.ts";
import { HALF_OPEN, nextWord } from "../../../plugins/breaker/state-word.ts";
import { ownCell } from "./threads.ts";

const goOn = ({ words, at }: CircuitCell): void => {
  words[at + STATE] = nextWord(words[at + STATE]!, HALF_OPEN, undefined, 1);
};

function create(allowed: number, cell = ownCell()) {
  const probes = new Probes(allowed, cell);
  return { probes, cell, start: (ticket = 1, now = 0) => probes.start(ticket, now) };
}

describe("probes", () => {
  it("are as many as are allowed, up to the most that the option takes", () => {
    const { probes, start } = create(1000);
    for (let i = 0; i < 1000; i++) expect(start()).toBe(true);
    expect(start()).toBe(false);
    for (let i = 0; i < 999; i++) expect(probes.pass(1)).toBe(false);
    expect(probes.pass(1)).toBe(true);
    expect(probes.look(1)).toEqual({ started: 1000, passed: 1000 });
  });

  it("that told nothing do not take away those that went well", () => {
    const { probes, start } = create(2);
    start();
    probes.pass(1);
    probes.giveBack(1);
    expect(probes.look(1)).toEqual({ started: 1, passed: 1 });
  });

  it("begin anew with each state", () => {
    const { probes, cell, start } = create(1);
    start();
    goOn(cell);
    expect([start(2), start(2)]).toEqual([true, false]);
    expect(probes.look(1)).toEqual({ started: 0, passed: 0 });
  });

  it("of a state that is over neither start nor count", () => {
    const { probes, cell, start } = create(2);
    start();
    goOn(cell);
    start(2);
    probes.giveBack(1);
    expect([start(1), probes.pass(1), probes.pass(1)]).toEqual([false, false, false]);
    expect(probes.look(2)).toEqual({ started: 1, passed: 0 });
  });

  it("go on after a minute when all went well and yet nobody has closed the circuit", () => {
    const { probes, start } = create(1);
    start();
    expect(probes.pass(1)).toBe(true);
    expect(start(1, PROBE_TIMEOUT_MS - 1)).toBe(false);
    expect(start(1, PROBE_TIMEOUT_MS)).toBe(true);
    expect(probes.pass(1)).toBe(true);
  });

  it("that come back after they were taken for lost are no more than the word has room for", () => {
    const { probes, start } = create(1000);
    for (let i = 0; i < 1000; i++) start();
    for (let i = 0; i < 1100; i++) probes.pass(1);
    expect(probes.look(1)).toEqual({ started: 1023, passed: 1023 });
  });
});
