import { describe, expect, it } from "vitest";
import {
  parseKilobytes,
  parseStat,
  type ProcessStat,
  selectTree,
  shareOfBusiest,
  sumMemory,
} from "../../bench/support/process-tree.ts";

const stat = (name: string): string =>
  `4242 (${name}) S 17 4242 4242 0 -1 4194560 2517 99 0 0 120 30 7 3 20 0 11 0 88 1048576 2000`;

describe("parseStat", () => {
  it("reads times, own and of children that have ended", () => {
    expect(parseStat(stat("node"))).toEqual({
      pid: 4242,
      parent: 17,
      name: "node",
      ownTicks: 150,
      childTicks: 10,
    });
  });

  it("is not misled by spaces and parentheses in the name", () => {
    expect(parseStat(stat("a) S 1 (b c"))).toMatchObject({ name: "a) S 1 (b c", parent: 17, ownTicks: 150 });
  });
});

describe("selectTree", () => {
  const process = (pid: number, parent: number): ProcessStat => ({
    pid,
    parent,
    name: "",
    ownTicks: 0,
    childTicks: 0,
  });

  it("has children and theirs, whatever their order, and nobody else", () => {
    const all = [process(9, 5), process(2, 1), process(5, 2), process(3, 1), process(6, 2), process(1, 0)];
    expect(
      selectTree(2, all)
        .map(({ pid }) => pid)
        .toSorted(),
    ).toEqual([2, 5, 6, 9]);
  });

  it("is empty when the process is gone", () => {
    expect(selectTree(7, [process(1, 0)])).toEqual([]);
  });
});

describe("parseKilobytes", () => {
  it("finds a field by its whole name", () => {
    const text = "Rss:  2048 kB\nPss:   512 kB\nPss_Anon: 100 kB\n";
    expect(parseKilobytes(text, "Pss")).toBe(512 * 1024);
    expect(parseKilobytes(text, "ss")).toBe(0);
  });
});

describe("sumMemory", () => {
  it("adds up all processes and names the largest", () => {
    const small = { rss: 10, pss: 4, peak: 12 };
    const large = { rss: 30, pss: 25, peak: 31 };
    expect(sumMemory([small, large])).toEqual({ rss: 40, pss: 29, peak: 43, processes: 2, largest: large });
  });
});

describe("shareOfBusiest", () => {
  it("counts what was used between two looks, and threads that were not there at the first", () => {
    const before = [
      { id: 1, ticks: 1000 },
      { id: 2, ticks: 5 },
    ];
    const after = [
      { id: 1, ticks: 1010 },
      { id: 2, ticks: 35 },
      { id: 3, ticks: 20 },
    ];
    expect(shareOfBusiest(before, after)).toBe(0.5);
  });
});
