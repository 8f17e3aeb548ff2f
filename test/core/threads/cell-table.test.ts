import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CellTable } from "../../../core/threads/cell-table.ts";

/** A cell's places: all of the smallest table. */
const WINDOW = 32;
/** The most that a cell stays longer than it was asked for, in milliseconds. */
const LONGER = 6000;

function open(capacity = WINDOW, cellWords = 4, epoch = 1_000_000) {
  const size = { capacity, cellWords };
  const memory = CellTable.create(size, 2, epoch);
  return {
    memory,
    table: new CellTable(memory, size, 2, 0),
    other: new CellTable(memory, size, 2, 1),
    epoch,
  };
}

const payload = (table: CellTable, cell: number): number[] => [
  ...table.words.slice(cell, cell + table.cellWords),
];

describe("a table of cells", () => {
  it("gives each key a cell of its own, the same one again, in every thread", () => {
    const { table, other, epoch } = open(256);
    const cells = Array.from({ length: 64 }, (_, i) => table.locate(`key ${i}`, 1000, epoch));
    expect(new Set(cells).size).toBe(64);
    expect(Array.from({ length: 64 }, (_, i) => other.locate(`key ${i}`, 1000, epoch))).toEqual(cells);
    expect(table.countLive(epoch)).toBe(64);
  });

  it("has payloads that do not overlap, at even words, in all three views", () => {
    const { table, epoch } = open(64, 6);
    const cells = Array.from({ length: 20 }, (_, i) => table.locate(`key ${i}`, 1000, epoch));
    for (const [i, cell] of cells.entries()) {
      expect(cell % 2).toBe(0);
      table.words.fill(i + 1, cell, cell + 6);
    }
    for (const [i, cell] of cells.entries()) expect(payload(table, cell)).toEqual(Array(6).fill(i + 1));
    table.doubles[cells[0]! / 2] = 1.5;
    expect(new Float64Array(table.words.slice(cells[0]!, cells[0]! + 2).buffer)[0]).toBe(1.5);
    table.longs[cells[1]! / 2] = -1n;
    expect(payload(table, cells[1]!).slice(0, 2)).toEqual([-1, -1]);
    expect(payload(table, cells[2]!)).toEqual(Array(6).fill(3));
  });

  it("has no room when all places of a key have cells, counts that, and has room once their time is over", () => {
    const { table, epoch } = open();
    const cells = Array.from({ length: WINDOW }, (_, i) => table.locate(`key ${i}`, 10_000, epoch));
    expect(cells).not.toContain(-1);
    expect([table.locate("one more", 1000, epoch), table.full]).toEqual([-1, 1]);
    expect(table.locate("key 7", 1000, epoch)).toBe(cells[7]);
    expect(table.locate("one more", 1000, epoch + 10_000)).toBe(-1);
    const later = epoch + 10_000 + LONGER;
    expect(table.countLive(later)).toBe(0);
    const cell = table.locate("one more", 1000, later);
    expect([cells.includes(cell), table.full]).toEqual([true, 2]);
  });

  it("gives a cell that is all zero, whatever was in the place before", () => {
    const { table, epoch } = open();
    for (let i = 0; i < WINDOW; i++) {
      const cell = table.locate(`key ${i}`, 1000, epoch);
      table.words.fill(-1, cell, cell + 4);
    }
    for (let i = 0; i < WINDOW; i++) {
      expect(payload(table, table.locate(`new ${i}`, 1000, epoch + 1000 + LONGER))).toEqual([0, 0, 0, 0]);
    }
  });

  it("keeps a cell as long as it is located in time, by whichever thread", () => {
    const { table, other, epoch } = open();
    const cell = table.locate("kept", 5000, epoch);
    table.words[cell] = 42;
    for (let i = 1; i < 100; i++) {
      const now = epoch + i * 4999;
      expect((i % 2 ? other : table).locate("kept", 5000, now)).toBe(cell);
      // Others take whatever they can get.
      for (let j = 0; j < WINDOW; j++) table.locate(`other ${i} ${j}`, 0, now);
    }
    expect(table.words[cell]).toBe(42);
  });

  it("keeps a cell for the longest time that it was located for", () => {
    const { table, epoch } = open();
    const cell = table.locate("kept", 3_600_000, epoch);
    table.locate("kept", 1, epoch);
    for (let j = 0; j < 100; j++) table.locate(`other ${j}`, 0, epoch + 3_600_000);
    expect(table.locate("kept", 1, epoch + 3_600_000)).toBe(cell);
  });

  it("keeps cells for ever when asked to", () => {
    const { table, epoch } = open();
    const cell = table.locate("kept", Number.POSITIVE_INFINITY, epoch);
    const later = epoch + 5 * 365 * 86_400_000;
    for (let j = 0; j < 100; j++) table.locate(`other ${j}`, 0, later);
    expect(table.locate("kept", 0, later)).toBe(cell);
  });

  it("finds a cell that is there and makes none, and none whose time is over", () => {
    const { table, other, epoch } = open();
    expect([table.find("key", epoch), table.countLive(epoch)]).toEqual([-1, 0]);
    const cell = table.locate("key", 10_000, epoch);
    expect(other.find("key", epoch + 10_000)).toBe(cell);
    expect(other.find("key", epoch + 10_000 + LONGER)).toBe(-1);
    expect(table.countLive(epoch + 10_000 + LONGER)).toBe(0);
  });

  it("keeps a cell that was found until the turn is over, and longer when it is prolonged", () => {
    const { table, epoch } = open();
    const cell = table.locate("key", 0, epoch);
    expect(table.find("key", epoch + 3000)).toBe(cell);
    const crowd = (now: number): void => {
      for (let j = 0; j < 100; j++) table.locate(`other ${now} ${j}`, 0, now);
    };
    crowd(epoch + 6000);
    expect(table.find("key", epoch + 6000)).toBe(cell);
    table.prolong(cell, 60_000, epoch + 6000);
    table.prolong(cell, 1, epoch + 6000);
    crowd(epoch + 66_000);
    expect(table.find("key", epoch + 66_000)).toBe(cell);
  });

  it("finds different cells for the same keys in every table: the hash has a secret", () => {
    const cells = (): number[] => {
      const { table, epoch } = open(65_536);
      return Array.from({ length: 8 }, (_, i) => table.locate(`key ${i}`, 1000, epoch));
    };
    expect(cells()).not.toEqual(cells());
  });

  it("takes memory only as it is used", () => {
    const memory = CellTable.create({ capacity: 65_536, cellWords: 4 }, 2, 0);
    const touched = new Uint8Array(memory).findLastIndex((byte) => byte !== 0);
    expect(touched).toBeLessThan(64);
  });

  it("fills to more than half before a key finds no room", () => {
    const { table, epoch } = open(4096);
    let count = 0;
    while (table.locate(`key ${count}`, 1000, epoch) !== -1) count++;
    expect(count).toBeGreaterThan(2048);
  });

  it("has room for a million keys when it has twice as many places, and tells about how many it has", () => {
    const { table, memory, epoch } = open(2 ** 21);
    expect(memory.byteLength).toBeLessThan(100_000_000);
    for (let i = 0; i < 1_000_000; i++) table.locate(`key ${i}`, 60_000, epoch);
    expect(table.full).toBe(0);
    expect(table.countLive(epoch) / 1_000_000).toBeCloseTo(1, 1);
    expect(table.countLive(epoch + 60_000 + LONGER)).toBe(0);
    const [first, last] = ["key 0", "key 999999"].map((key) => table.locate(key, 60_000, epoch));
    table.words[first!] = 42;
    table.words[last!] = 43;
    expect([table.locate("key 0", 0, epoch), table.locate("key 999999", 0, epoch)]).toEqual([first, last]);
    expect([table.words[first!], table.words[last!]]).toEqual([42, 43]);
  });

  it("behaves like a map that forgets", () => {
    const step = fc.oneof(
      fc.record({
        key: fc.nat(60),
        ttl: fc.constantFrom(0, 500, 3000, 20_000),
        by: fc.constantFrom("table" as const, "other" as const),
      }),
      fc.record({ wait: fc.constantFrom(1, 300, 2000, 7000) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: "max" }), (steps) => {
        const tables = open();
        const { table } = tables;
        let now = tables.epoch;
        let marks = 0;
        const model = new Map<number, { cell: number; mark: number; until: number; over: number }>();
        for (const step of steps) {
          if ("wait" in step) {
            now += step.wait;
            continue;
          }
          const { key, ttl, by } = step;
          const known = model.get(key);
          const cell = tables[by].locate(String(key), ttl, now);
          const isKept = known !== undefined && known.until >= now;
          if (cell === -1) {
            expect(isKept).toBe(false);
            const taken = [...model.values()].filter(({ over }) => over >= now);
            expect(taken.length).toBeGreaterThanOrEqual(WINDOW);
            continue;
          }
          if (isKept) expect(cell).toBe(known.cell);
          const others = [...model].filter(([k, { until }]) => k !== key && until >= now);
          expect(others.map(([, other]) => other.cell)).not.toContain(cell);
          const [mark, ...rest] = payload(table, cell);
          const isSame = known !== undefined && known.cell === cell && mark === known.mark;
          expect([isSame || (mark === 0 && !isKept), ...rest]).toEqual([true, 0, 0, 0]);
          const newMark = isSame ? mark! : ++marks;
          table.words[cell] = newMark;
          const until = Math.max(now + ttl, isKept ? known.until : 0);
          const over = Math.max(now + ttl + LONGER, known?.over ?? 0);
          model.set(key, { cell, mark: newMark, until, over });
        }
        now += 60_000;
        for (let i = 0; i < WINDOW; i++) expect(table.locate(`last ${i}`, 1, now)).not.toBe(-1);
      }),
    );
  });
});
