/** The steps of several threads in whatever order. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CellTable } from "../../../core/threads/cell-table.ts";
import { type Job, SteppedThreads, type Turn } from "../../support/stepped-threads.ts";

const THREADS = 3;
const SIZE = { capacity: 32, cellWords: 4 };
const HEADER = 4;
const STRIDE = HEADER + SIZE.cellWords;
const EPOCH = 1_000_000;
/** A thread reads its clock before it begins, so one may be behind another. */
const NOW = EPOCH + 100_000;
const LATER = NOW + 6000;
const TTL = 20_000;
/** By then nobody waits for what was begun and left. */
const SOON = LATER + 6000;
/** What the threads look for. */
const KEYS = ["1", "2", "3"];

let threads: SteppedThreads;
beforeAll(async () => {
  threads = new SteppedThreads(THREADS);
  await threads.ready();
});
afterAll(() => threads.close());

/** Cells that are there before: of which keys, over by now or only for who has the later clock. */
interface Before {
  readonly over: readonly number[];
  readonly overLater: readonly number[];
  /** How many places are free; all others are taken for good. */
  readonly free: number;
}

type Plan = readonly Pick<Job, "keys" | "nowMs" | "endsAfter">[];

function prepare(secret: number, { over, overLater, free }: Before) {
  const memory = CellTable.create(SIZE, THREADS, EPOCH);
  new Int32Array(memory).set([secret, 0]);
  const table = new CellTable(memory, SIZE, THREADS, THREADS);
  const cells = [...over, ...overLater].map((key) => {
    const cell = table.locate(String(key), over.includes(key) ? 0 : NOW - EPOCH, EPOCH);
    table.words.set([7, key], cell);
    return cell;
  });
  const open = cells.length + free;
  const taken = Array.from({ length: SIZE.capacity - open }, (_, i) =>
    table.locate(`taken ${i}`, Number.POSITIVE_INFINITY, EPOCH),
  );
  const head = table.words.length - SIZE.capacity * STRIDE;
  const watched: [number, number][] = Array.from({ length: SIZE.capacity }, (_, i) => head + i * STRIDE)
    .filter((place) => !taken.includes(place + HEADER))
    .map((place) => [place, place + STRIDE]);
  watched.push([8, head]);
  return { memory, table, cells, watched, open };
}

/** A secret with which whoever looks for key 2 takes the place of the cell that is there, and not the free one. */
function secretFor(before: Before): number {
  for (let secret = 0; ; secret++) {
    const { table, cells } = prepare(secret, before);
    if (cells.includes(table.locate("2", 0, LATER))) return secret;
  }
}

/** Runs the threads in this order, and expects that nothing is lost. */
function check(secret: number, before: Before, plan: Plan, turns: readonly Turn[]): void {
  const { memory, table, watched, open } = prepare(secret, before);
  const outcomes = threads.run(
    plan.map((job): Job => ({ memory, size: SIZE, ttlMs: TTL, watched, ...job })),
    turns,
  );
  expect(outcomes.map(({ strangers }) => strangers)).toEqual(plan.map(() => 0));
  // With this little room, what others have half done may take all of it for a moment.
  const all = outcomes.flatMap(({ cells }) => cells).filter(([, cell]) => cell !== -1);
  const counts = new Map<string, number>();
  for (const [i, { added }] of outcomes.entries()) {
    for (const [j, key] of plan[i]!.keys.entries()) counts.set(key, (counts.get(key) ?? 0) + added[j]!);
  }
  for (const key of new Set(plan.flatMap(({ keys }) => keys))) {
    const cell = table.locate(key, TTL, SOON);
    for (const [k, c] of all) expect(c === cell).toBe(k === key);
    const [sum, mark, ...rest] = table.words.slice(cell, cell + SIZE.cellWords);
    const count = counts.get(key) ?? 0;
    expect(before.over.includes(Number(key)) ? [count, count + 7] : [count]).toContain(sum);
    expect([0, Number(key)]).toContain(mark);
    expect(rest).toEqual([0, 0]);
  }
  expect([...table.words.slice(8, 8 + THREADS)]).toEqual([0, 0, 0]);
  const next = Array.from({ length: open }, (_, i) => table.locate(`next ${i}`, 0, LATER + 2 * TTL));
  expect(next.map((cell) => cell !== -1 && table.words[cell])).toEqual(next.map(() => 0));
}

const NEVER = Number.POSITIVE_INFINITY;
const job = (key: string, nowMs: number) => ({ keys: [key], nowMs, endsAfter: NEVER });

describe("whatever threads do at the same time, every key has one cell, zero at first, and no count or place is lost", () => {
  it("in many orders, wherever threads end", () => {
    const plan = fc.array(
      fc.record({
        keys: fc.array(fc.constantFrom(...KEYS), { minLength: 1, maxLength: 3 }),
        nowMs: fc.constantFrom(NOW, LATER),
        endsAfter: fc.oneof(fc.constant(NEVER), fc.nat(60)),
      }),
      { minLength: THREADS, maxLength: THREADS },
    );
    const thread = fc.nat(THREADS - 1);
    const turns = fc.array(
      fc.oneof(
        fc.tuple(thread, fc.nat(20), fc.constant("steps" as const)),
        fc.tuple(thread, fc.integer({ min: 1, max: 4 }), fc.constant("swaps" as const)),
      ),
      { maxLength: 20, size: "max" },
    );
    const before: Before = { over: [1, 4], overLater: [5, 6], free: 2 };
    fc.assert(
      fc.property(fc.integer(), plan, turns, (secret, jobs, order) => check(secret, before, jobs, order)),
      { numRuns: 400 },
    );
  });

  it.each<[string, Before, Plan]>([
    [
      "two that want a cell of the same new key",
      { over: [], overLater: [5], free: 1 },
      [job("2", NOW), job("2", LATER), job("2", LATER)],
    ],
    [
      "one that wants the cell whose place another one takes",
      { over: [1], overLater: [], free: 1 },
      [job("1", NOW), job("2", NOW), job("1", NOW)],
    ],
  ])("in every order of %s, and a third that goes all at once", (_, before, plan) => {
    const secret = secretFor(before);
    // As many as it takes to give a place to another key, and to have two claims on it.
    for (const order of orders(2, 8)) {
      for (let i = 4; i <= order.length; i++)
        check(secret, before, plan, order.toSpliced(i, 0, [2, 1000, "steps"]));
    }
  });

  it("in every order of one that wants the cell whose place two others take", () => {
    const before: Before = { over: [1], overLater: [], free: 1 };
    const secret = secretFor(before);
    const plan = [job("1", NOW), job("2", NOW), job("2", NOW)];
    for (const order of orders(3, 6)) check(secret, before, plan, order);
  });
});

/** All orders of so many turns, each up to where the thread would change what a cell is. */
function* orders(threadCount: number, turnCount: number): Generator<Turn[]> {
  for (let order = 0; order < threadCount ** turnCount; order++) {
    yield Array.from({ length: turnCount }, (_, i): Turn => {
      return [Math.floor(order / threadCount ** i) % threadCount, 1, "swaps"];
    });
  }
}
