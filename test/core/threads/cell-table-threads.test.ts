/** Threads that use a table at the same time, as fast as they can. */
import { expect, it, onTestFinished } from "vitest";
import { CountingThreads, EPOCH, SIZE } from "../../support/counting-threads.ts";

const THREADS = 3;

function open(): CountingThreads {
  const threads = new CountingThreads(THREADS);
  onTestFinished(() => threads.close());
  return threads;
}

/** Every place can be taken by a new key, whose cell is zero. */
function expectRoom({ table }: CountingThreads): void {
  const muchLater = EPOCH + 30 * 86_400_000;
  for (let i = 0; table.countLive(muchLater) < SIZE.capacity; i++) {
    const cell = table.locate(`new ${i}`, 1000, muchLater);
    if (cell !== -1) expect([...table.words.slice(cell, cell + 4)]).toEqual([0, 0, 0, 0]);
    expect(i).toBeLessThan(100_000);
  }
}

it("loses no count of several threads, and gives no cell to two keys, while others come and go", async () => {
  const threads = open();
  const strangers = Array.from({ length: THREADS }, (_, i) => threads.start(i, 50_000));
  expect(await Promise.all(strangers)).toEqual([0, 0, 0]);
  const sums = threads.sums();
  expect(sums.map(({ cell }) => cell)).toEqual(sums.map(({ counted }) => counted));
  const total = sums.reduce((sum, { counted }) => sum + counted, 0);
  expect(total + threads.table.full).toBeGreaterThanOrEqual(THREADS * 50_000);
  expectRoom(threads);
});

it("loses no count and no place for good when threads are ended wherever they are", async () => {
  const threads = open();
  const deaths = 24;
  for (let i = 0; i < THREADS; i++) void threads.start(i, Number.POSITIVE_INFINITY);
  for (let i = 0; i < deaths; i++) {
    const me = i % THREADS;
    const position = Atomics.load(threads.positions, me);
    await expect
      .poll(() => Atomics.load(threads.positions, me), { interval: 1 })
      .toBeGreaterThan(position + 500);
    await threads.end(me);
    void threads.start(me, i >= deaths - THREADS ? 1000 : Number.POSITIVE_INFINITY);
  }
  await expect.poll(() => Math.min(...threads.positions)).toBe(2 ** 30);
  for (const { cell, counted } of threads.sums()) {
    // A thread may end between the cell and its own tally.
    expect(cell - counted).toBeGreaterThanOrEqual(0);
    expect(cell - counted).toBeLessThanOrEqual(deaths);
  }
  expectRoom(threads);
});
